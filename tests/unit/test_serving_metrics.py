"""What is counted reads as Prometheus reads it, and workers add up."""

import math

import pytest

from captioner.serving.metrics import Metrics, shared_table

parser = pytest.importorskip("prometheus_client.parser", reason="prometheus-client is not installed")


def samples(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    families = list(parser.text_string_to_metric_families(text))
    assert all(family.documentation and family.type in ("counter", "gauge", "histogram") for family in families)
    return {(s.name, tuple(sorted(s.labels.items()))): s.value for family in families for s in family.samples}


def test_the_text_is_what_prometheus_reads() -> None:
    metrics = Metrics.alone()
    metrics.answered("/v1/captions", 200)
    metrics.answered("/v1/captions", 200)
    metrics.answered("/static/page.js", 200)
    metrics.answered("/../etc/passwd", 404)
    metrics.set("captioner_ready_workers", 1)
    for seconds in (0.004, 0.005, 0.3, 99):
        metrics.observe("captioner_request_seconds", seconds)
    found = samples(metrics.text())
    requests = {labels: value for (name, labels), value in found.items() if name == "captioner_requests_total"}
    assert requests == {
        (("path", "/v1/captions"), ("status", "200")): 2,
        (("path", "/static"), ("status", "200")): 1,
        (("path", "other"), ("status", "404")): 1,
    }
    assert found["captioner_ready_workers", ()] == 1
    buckets = {
        float(dict(labels)["le"]): value
        for (name, labels), value in found.items()
        if name == "captioner_request_seconds_bucket"
    }
    assert (buckets[0.005], buckets[0.25], buckets[0.5], buckets[30.0], buckets[math.inf]) == (2, 2, 3, 3, 4)
    assert found["captioner_request_seconds_count", ()] == 4
    assert found["captioner_request_seconds_sum", ()] == pytest.approx(99.309)


def test_numbers_are_exact() -> None:
    metrics = Metrics.alone()
    metrics.count('captioner_pictures_total{outcome="captioned"}', 1_234_567)
    metrics.set("captioner_body_bytes", 123_456_789)
    lines = metrics.text().splitlines()
    assert 'captioner_pictures_total{outcome="captioned"} 1234567' in lines
    assert "captioner_body_bytes 123456789" in lines


def test_workers_add_up_and_a_new_one_goes_on_with_what_the_dead_one_counted() -> None:
    table = shared_table(2)
    first, second = Metrics(table, 0), Metrics(table, 1)
    for metrics in (first, second):
        metrics.answered("/", 200)
        metrics.set("captioner_ready_workers", 1)
    assert first.text() == second.text()
    assert samples(first.text())["captioner_ready_workers", ()] == 2
    again = samples(Metrics(table, 1).text())
    assert again["captioner_ready_workers", ()] == 1
    assert again["captioner_requests_total", (("path", "/"), ("status", "200"))] == 2
