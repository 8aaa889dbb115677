"""A report is one file with all that an evaluation has: figures as they are, captions as text, nothing fetched."""

import base64
import io
import json
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from page_reader import Page
from PIL import Image

from captioner.calibration import Bin
from captioner.errors import UsageError
from captioner.evaluation.bootstrap import score_intervals
from captioner.evaluation.evaluator import Evaluation, score_captions
from captioner.evaluation.references import ImageId, References
from captioner.evaluation.report import Origin, write_report
from captioner.evaluation.report_charts import reliability
from captioner.pages.html import check_pages
from captioner.text import tokenize

NASTY = "<script>alert('dog')</script> & \"a cat\" at http://example.com/x.png"


def evaluation(images: int = 40, **more: Any) -> Evaluation:
    """Every other caption is a reference of its picture; that of picture 0 is nasty."""
    texts = {key: [f"a dog number {key} runs", "it runs"] for key in range(images)}
    captions: dict[ImageId, str] = {key: f"a dog number {key + key % 2} runs" for key in range(images)}
    captions[0] = NASTY
    words = {key: tokenize(text) for key, text in captions.items()}
    found = score_captions(words, References("r.json", dict(texts)), captions, {"method": "file", "name": "x.json"})
    return replace(found, **more)


def page_of(path: Path, found: Evaluation, origin: Origin | None = None) -> Page:
    write_report(path, found, origin or Origin("p.json, r.json", "captioner evaluate --predictions 'p q.json'"))
    return Page(path.read_text(encoding="utf-8"))


def test_every_score_with_its_interval_and_how_it_was_made(tmp_path: Path) -> None:
    found = evaluation()
    page = page_of(tmp_path / "r.html", found)
    for name, (low, high) in score_intervals(found.scores, 1).items():
        shown = {"ROUGE_L": "ROUGE-L"}.get(name, name.replace("Bleu_", "BLEU-"))
        assert f"{shown} {found.scores.corpus[name]:.4f} {low:.4f} to {high:.4f}" in page.text
    assert "Bleu_" not in page.text
    assert found.references is not None
    assert f"references' fingerprint sha256 {found.references.sha256}" in page.text
    assert "80 captions of 40 images in r.json" in page.text
    assert "command captioner evaluate --predictions 'p q.json'" in page.text
    assert "tokenizer captioner-ptb-1" in page.text
    assert "scale fractions of 1; CIDEr-D, up to 10" in page.text
    assert "sampling method file, name x.json" in page.text
    assert "Python 3." in page.text
    assert "Training" not in page.text
    assert "confidence" not in page.text


def test_nothing_is_fetched_and_captions_stay_text(tmp_path: Path) -> None:
    page = page_of(tmp_path / "r.html", evaluation(8))
    assert NASTY in "".join(page.texts)
    assert not page.all("script")
    assert not page.all("link")
    for tag, attributes in page.tags:
        assert not {"onerror", "onload"} & set(attributes), tag
        assert (attributes.get("src") or "data:").startswith("data:"), tag
        assert (attributes.get("href") or "#").startswith("#"), tag
    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert text.count("http") == text.count("http://example.com/x.png")
    assert "url(" not in text
    assert "@import" not in text


def test_the_best_the_worst_and_some_drawn_from_the_others(tmp_path: Path) -> None:
    found = evaluation()
    page = page_of(tmp_path / "r.html", found)
    assert len(page.all("article")) == 24
    shown = [
        text.removeprefix("CIDEr ")
        for text in page.texts
        if text.startswith("CIDEr ") and text[6:].replace(".", "").isdigit()
    ]
    ciders = sorted((values["CIDEr"] for values in found.scores.per_image.values()), reverse=True)
    assert shown[:8] == [f"{value:.2f}" for value in ciders[:8]]
    assert shown[8:16] == [f"{value:.2f}" for value in ciders[::-1][:8]]
    few = page_of(tmp_path / "few.html", evaluation(2))
    assert len(few.all("article")) == 2
    assert "Of fewer than 30 images it is too narrow." in few.text


def test_a_warning_stands_above_all(tmp_path: Path) -> None:
    captions: dict[ImageId, str] = dict.fromkeys(range(30), "a dog")
    references = References("r.json", {key: ["a cat"] for key in captions})
    found = score_captions({key: ["a", "dog"] for key in captions}, references, captions, {"method": "file"})
    page = page_of(tmp_path / "r.html", found)
    assert found.diversity is not None
    assert page.text.index(str(found.diversity.collapse)) < page.text.index("BLEU-1")


def test_reliability_is_the_share_of_right_captions_among_those_as_sure() -> None:
    """Even captions are right; the surer half of 40 holds ten of them, and so does the other."""
    found = evaluation(confidences={key: key / 100 for key in range(40)})
    right = [found.scores.per_image[key]["CIDEr"] >= 0.5 for key in range(40)]
    assert right == [key % 2 == 0 and key > 0 for key in range(40)]
    found_error, bins = reliability(found)
    assert bins == (Bin(pytest.approx(0.095), 9 / 20, 20), Bin(pytest.approx(0.295), 10 / 20, 20))
    error = (20 * (9 / 20 - 0.095) + 20 * (10 / 20 - 0.295)) / 40
    assert found_error == pytest.approx(error)


def test_confidences_are_shown_where_there_are_some(tmp_path: Path) -> None:
    page = page_of(tmp_path / "r.html", evaluation(confidences={key: key / 100 for key in range(40)}))
    charts = {attributes["aria-label"] for attributes in page.all("svg")}
    assert {"Confidence, share of captions", "How often captions are right, by confidence"} <= charts
    assert "on average they are 0.280 away from it" in page.text


def test_confidence_has_per_cent_where_it_is_a_probability_alone(cli: Any, tiny_run: Path, tmp_path: Path) -> None:
    path, right = tmp_path / "r.html", "Confidence is the probability that a caption is right. Right means"
    ranks = "This model has no calibration: its confidence ranks captions, and is no probability."
    for model, form, said, unsaid in (("best", r"\d+%", right, ranks), ("last", r"\d\.\d\d", ranks, right)):
        assert cli("evaluate", "--model", tiny_run / model, "--split", "test", "--report", path).status == 0
        page = Page(path.read_text(encoding="utf-8"))
        figures = [text for text in page.texts if text.startswith("confidence ")]
        assert len(figures) == len(page.all("article"))
        assert all(re.fullmatch(f"confidence {form}", text) for text in figures), figures
        assert page.text.count(said) == 1
        assert unsaid not in page.text


def test_a_model_s_report_has_its_training_and_where_it_looks(cli: Any, tiny_run: Path, tmp_path: Path) -> None:
    path = tmp_path / "r.html"
    finished = cli("evaluate", "--model", tiny_run, "--split", "test", "--report", path)
    assert finished.status == 0
    assert finished.err.endswith(f"the report is in {path}\n")
    page = Page(path.read_text(encoding="utf-8"))
    assert {"Loss (nats per word)", "Validation: CIDEr"} <= {each["aria-label"] for each in page.all("svg")}
    log = [json.loads(line) for line in (tiny_run / "log.jsonl").read_text().splitlines()]
    for row in log:
        assert f"{row['epoch']}: {round(row['val_CIDEr'], 4):.4g}" in page.text
    assert f"command captioner evaluate --model {tiny_run} --split test --report {path}" in page.text
    assert f"{tiny_run}: fingerprint sha256 " in page.text
    assert f"{tiny_run}: vocabulary words" in page.text
    words = sum(len(row[1].split()) for row in captions(cli, tiny_run, tmp_path))
    sources = [attributes for attributes in page.all("img") if (attributes["alt"] or "").startswith("where the model")]
    assert len(sources) == words
    for source in sources:
        with Image.open(io.BytesIO(base64.b64decode((source["src"] or "").partition(",")[2]))) as image:
            assert image.size == (120, 120)


def captions(cli: Any, run: Path, folder: Path) -> list[list[str]]:
    """What the model says of the pictures of the test split, all of which are in the galleries."""
    import yaml

    root = Path(yaml.safe_load((run / "config.yaml").read_text())["dataset"]["root"])
    entries = [entry for entry in json.loads((root / "shapes.json").read_text())["images"] if entry["split"] == "test"]
    return cli("caption", *(root / "images" / entry["filename"] for entry in entries), "--model", run, "--quiet").rows


def test_what_does_not_go_with_a_report(
    cli: Any, tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    finished = cli("evaluate", "--model", tiny_run, "--beam-sizes", "1,2", "--report", tmp_path / "r.html")
    assert (finished.status, finished.err) == (
        2,
        "error: --report shows one way of sampling, and --beam-sizes several\n       leave out --report\n",
    )
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(UsageError, match="--report needs Jinja2, which is not installed"):
        check_pages("--report")
