"""The paths of the server, over loopback: what they answer, and in which words they refuse."""

import base64
import hashlib
import http.client
import io
import json
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch
from live_server import LIMITS, NOBODY, live, unready
from PIL import Image

from captioner.checkpoint.description import describe
from captioner.config import SamplingConfig
from captioner.errors import CheckpointError
from captioner.folder.job import number_of
from captioner.loading import load_captioner
from captioner.serving.limits import Access, origin_of
from captioner.serving.metrics import Metrics, shared_table

IMAGE = {"content-type": "application/octet-stream"}
FORMATS = "send pictures as JPEG, PNG, WebP, GIF, BMP, TIFF or AVIF"


@pytest.fixture(scope="module")
def client(tiny_run: Path) -> Iterator[httpx.Client]:
    with live(tiny_run) as client:
        yield client


@pytest.fixture(scope="module")
def photos(shapes: Path) -> list[Path]:
    return sorted((shapes / "images").iterdir())[:3]


def post(client: httpx.Client, query: str = "", files: list[Path] | None = None, **arguments: Any) -> httpx.Response:
    if files is not None:
        arguments["files"] = [("picture", (file.name, file.read_bytes())) for file in files]
    return client.post(f"/v1/captions{query}", **arguments)


def problem(answer: httpx.Response) -> tuple[int, str, str]:
    """Its status and both lines, after checking the rest of what RFC 9457 asks."""
    body = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert body["type"] == "about:blank"
    assert body["status"] == answer.status_code
    assert body["title"]
    return answer.status_code, body["detail"], body["remedy"]


def asked(client: httpx.Client, method: str, path: str, **headers: str) -> tuple[http.client.HTTPResponse, bytes]:
    """The answer to a request as it stands: other clients tidy it first."""
    connection = http.client.HTTPConnection(client.base_url.host, client.base_url.port or 0)
    connection.request(method, path, headers=headers)
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer, content


def png(size: tuple[int, int] = (8, 8), kind: str = "PNG", **options: Any) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", size, "red").save(stream, kind, **options)
    return stream.getvalue()


def test_captions_are_those_of_the_command(client: httpx.Client, tiny_run: Path, photos: list[Path]) -> None:
    captioner = load_captioner([tiny_run], ["training.precision=float32"])
    expected = captioner.caption(photos)
    answer = post(client, files=photos)
    assert answer.status_code == 200
    assert answer.json()["model"] == captioner.fingerprint
    for photo, caption, row in zip(photos, expected, answer.json()["results"], strict=True):
        assert list(row)[:5] == ["file", "caption", "log_prob", "confidence", "error"]
        assert (row["file"], row["caption"], row["error"]) == (photo.name, caption.text, "")
        assert row["log_prob"] == pytest.approx(caption.log_prob, abs=1e-3)
        assert row["confidence"] == pytest.approx(caption.confidence, abs=1e-3)
        assert (row["words"], row["alternatives"], row["attention"]) == (list(caption.words), [], None)


def test_a_body_in_each_form_gives_the_same(client: httpx.Client, photos: list[Path]) -> None:
    data = photos[0].read_bytes()
    encoded = {"pictures": [{"data": base64.b64encode(data).decode()}]}
    answers = [
        client.post("/v1/captions", files={"picture": ("picture", data)}),
        client.post("/v1/captions", json=encoded),
        client.post("/v1/captions", content=data, headers={"content-type": "image/png"}),
        client.post("/v1/captions", content=data, headers={"content-type": "application/octet-stream"}),
    ]
    assert [answer.status_code for answer in answers] == [200] * 4
    assert len({json.dumps(answer.json()) for answer in answers}) == 1


def test_several_captions_and_where_they_look(client: httpx.Client, photos: list[Path]) -> None:
    row = post(client, "?captions=2&attention=true", photos[:1]).json()["results"][0]
    (other,) = row["alternatives"]
    assert row["confidence"] >= other["confidence"]
    for caption in (row, other):
        attention = caption["attention"]
        assert len(attention["weights"]) == len(caption["words"])
        assert all(len(word) == attention["rows"] * attention["columns"] for word in attention["weights"])
        assert all(sum(word) == pytest.approx(1, abs=1e-4) for word in attention["weights"])


@pytest.mark.parametrize(
    ("size", "turn", "across", "down"),
    [((80, 40), 1, 0.5, 1.0), ((80, 40), 6, 1.0, 0.5), ((40, 40), 1, 1.0, 1.0), ((20, 80), 1, 1.0, 0.25)],
)
def test_the_part_that_the_model_sees(
    client: httpx.Client, size: tuple[int, int], turn: int, across: float, down: float
) -> None:
    """``across`` and ``down`` are the share of the shorter side; of that, the transform keeps the middle."""
    exif = Image.Exif()
    exif[0x0112] = turn
    answer = client.post("/v1/captions?attention=true", files={"p": ("p.jpg", png(size, "JPEG", exif=exif))})
    picture = client.get("/v1/model").json()["encoder"]["picture"]
    kept = picture["crop"] / picture["resize"]
    width, height = kept * across, kept * down
    expected = {"left": (1 - width) / 2, "top": (1 - height) / 2, "width": width, "height": height}
    assert answer.json()["results"][0]["attention"]["seen"] == pytest.approx(expected)


@pytest.mark.parametrize("turn", [1, 6])
def test_the_part_that_the_model_sees_does_not_depend_on_the_format(client: httpx.Client, turn: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = turn
    seen = []
    for kind in ("JPEG", "PNG", "TIFF"):
        answer = post(client, "?attention=true", files=None, content=png((120, 40), kind, exif=exif), headers=IMAGE)
        seen.append(answer.json()["results"][0]["attention"]["seen"])
    assert seen[0] == seen[1] == seen[2]
    assert (seen[0]["width"] < seen[0]["height"]) is (turn == 1)


def test_sampling_by_request(client: httpx.Client, tiny_run: Path, photos: list[Path]) -> None:
    drawn = "?method=sample&temperature=2&seed={}&captions=3"
    first, same, other = (post(client, drawn.format(seed), photos).json()["results"] for seed in (7, 7, 8))
    assert first == same != other
    sampling = SamplingConfig(method="sample", temperature=2.0, seed=7, max_length=8, beam_size=2)
    captioner = load_captioner([tiny_run], ["training.precision=float32"])
    features = captioner.encode(torch.stack([captioner.read(photo)[0] for photo in photos]))  # type: ignore[index]
    numbers = [number_of(hashlib.sha256(photo.read_bytes()).digest()) for photo in photos]
    expected = captioner.caption_features(features, sampling, numbers=numbers, captions=3)
    assert [row["caption"] for row in first] == [several[0].text for several in expected]
    assert [len(row["alternatives"]) for row in first] == [2, 2, 2]


@pytest.mark.parametrize(
    ("query", "detail"),
    [
        ("?captions=0", "captions: expected greater than or equal to 1"),
        ("?captions=11", "captions: expected less than or equal to 10"),
        ("?beam_size=21", "beam_size: expected less than or equal to 20"),
        ("?beam=2", "there is no option 'beam', did you mean 'beam_size'?"),
        (
            "?" + "&".join(f"o{number}x=1" for number in range(12)),
            "; ".join(f"there is no option 'o{number}x'" for number in range(10)) + "; and 2 more",
        ),
        ("?method=magic", "method: expected 'greedy', 'beam', 'diverse_beam', 'consensus' or 'sample'"),
        ("?top_p=nan", "top_p: expected less than or equal to 1"),
        ("?top_k=3", "top_k has no effect with method beam"),
        ("?method=greedy&captions=2", "greedy decoding finds one caption of a picture"),
        ("?beam_size=2&captions=3", "a beam of 2 finds at most 2 captions of a picture"),
    ],
)
def test_options_that_cannot_be(client: httpx.Client, photos: list[Path], query: str, detail: str) -> None:
    status, found, remedy = problem(post(client, query, photos[:1]))
    assert (status, found) == (422, detail)
    assert remedy


def test_pictures_that_cannot_be_read_are_named_beside_the_others(client: httpx.Client, photos: list[Path]) -> None:
    files = {
        "a": ("good.png", photos[0].read_bytes()),
        "b": ("bad.png", b"no picture"),
        "c": ("big.png", png((101, 100))),
    }
    answer = client.post("/v1/captions", files=files)
    assert answer.status_code == 200
    good, bad, big = answer.json()["results"]
    assert good["caption"]
    assert bad == {
        "file": "bad.png",
        "caption": "",
        "log_prob": None,
        "confidence": None,
        "error": "not a picture in a format that can be read",
        "words": [],
        "attention": None,
        "alternatives": [],
    }
    assert big["error"] == "has 0.0101 megapixels; the limit is 0.01"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "the file is empty"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "is PostScript, a program rather than a picture"),
        (png((16, 16), kind="ICO"), "is ICO, which is not accepted here"),
        (png()[:-30], "cannot be decoded: broken PNG file"),
    ],
)
def test_a_picture_that_cannot_be_read(client: httpx.Client, data: bytes, reason: str) -> None:
    answer = client.post("/v1/captions", content=data, headers={"content-type": "image/png"})
    assert problem(answer)[::2] == (422, FORMATS)
    assert answer.json()["detail"].startswith(f"picture: {reason.partition(':')[0]}")
    assert [row["file"] for row in answer.json()["results"]] == ["picture"]


def test_limits_of_size_and_type(client: httpx.Client) -> None:
    large = b"x" * 200_001
    expected = (413, "the body has more than 0.2 MB", "send smaller pictures, or fewer of them at a time")
    image = {"content-type": "image/png"}
    assert problem(client.post("/v1/captions", content=large, headers=image)) == expected
    pieces = (large[start : start + 1000] for start in range(0, len(large), 1000))
    assert problem(client.post("/v1/captions", content=pieces, headers=image)) == expected
    assert problem(client.post("/v1/captions", content="a", headers={"content-type": "text/plain"}))[0] == 415


def test_paths_that_are_not_there(client: httpx.Client) -> None:
    there = "see /openapi.json for what there is"
    assert problem(client.get("/v2/captions")) == (404, "there is nothing at this path", there)
    assert problem(client.get("/v1/captions")) == (405, "GET is not what this path is for", there)
    assert client.get("/docs").status_code == 404


@pytest.mark.parametrize(
    "path",
    [
        *("/static/../app.py", "/static/%2e%2e/app.py", "/static/..%2fapp.py", "/static/..\\app.py"),
        *("/static//etc/passwd", "/static/%2fetc%2fpasswd", "/static/page.css%00", "/static/page.css/"),
        *("/static/", "/static", "//etc/passwd", "/../../etc/passwd"),
    ],
)
def test_no_path_reaches_another_file(client: httpx.Client, path: str) -> None:
    answer, content = asked(client, "GET", path)
    assert (answer.status, json.loads(content)["detail"]) == (404, "there is nothing at this path")


def test_the_page_and_its_files(client: httpx.Client) -> None:
    page = client.get("/")
    assert page.status_code == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    for header, value in {
        "x-content-type-options": "nosniff",
        "x-frame-options": "DENY",
        "referrer-policy": "no-referrer",
    }.items():
        assert page.headers[header] == value
    policy = dict(rule.split(maxsplit=1) for rule in page.headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert "style=" not in page.text
    assert "<style" not in page.text
    assert page.text.count("<script") == page.text.count('<script type="module" src="static/') == 1
    for name, kind in [("page.js", "text/javascript"), ("page.css", "text/css"), ("icon.svg", "image/svg+xml")]:
        file = client.get(f"/static/{name}")
        assert file.headers["content-type"].partition(";")[0] == kind
        assert "://" not in file.text.replace("http://www.w3.org/2000/svg", "")
        again = client.get(f"/static/{name}", headers={"if-none-match": file.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
    assert client.get("/v1/model").headers["cache-control"] == "no-store"


def test_the_model_is_what_inspect_shows(client: httpx.Client, tiny_run: Path) -> None:
    shown, expected = client.get("/v1/model").json(), describe(tiny_run)
    serving = shown.pop("serving")
    assert serving["attention"] is True
    said = serving["confidence"]
    assert [name for name, of in said.items() if of["probability"]] == ["greedy", "beam", "diverse_beam", "consensus"]
    assert said["beam"]["means"].startswith("Confidence is the probability that a caption is right. Right means close")
    assert said["sample"]["means"] == (
        "Confidence was calibrated for method beam: random captions are right more often than it says."
    )
    assert (serving["most pictures"], serving["most bytes"], serving["most pixels"]) == (3, 200_000, 10_000)
    del expected["checkpoint"]["directory"]
    assert shown["encoder"] == expected["encoder"]
    assert shown["vocabulary"] == expected["vocabulary"]
    assert shown["sampling"]["beam_size"] == 2
    assert shown.keys() == expected.keys()
    assert str(tiny_run.parent) not in json.dumps(shown)


def test_the_model_is_the_one_that_was_loaded(tiny_run: Path, tmp_path: Path) -> None:
    run = shutil.copytree(tiny_run, tmp_path / "run")
    with live(run) as client:
        before = client.get("/v1/model").json()
        shutil.rmtree(run)
        after = client.get("/v1/model")
    assert (after.status_code, after.json()) == (200, before)


def test_any_worker_knows_what_another_holds(tiny_run: Path) -> None:
    table = shared_table(2)
    other = Metrics(table, 1)
    with live(tiny_run, metrics=Metrics(table, 0)) as client:
        address = (client.base_url.host, client.base_url.port or 0)
        head = b"POST /v1/captions HTTP/1.1\r\nHost: a\r\nContent-Type: image/png\r\nContent-Length: 500\r\n\r\n"
        with socket.create_connection(address, 10) as connection:
            connection.sendall(head + bytes(100))
            until(lambda: "captioner_body_bytes 100\n" in other.text())
        until(lambda: "captioner_body_bytes 0\n" in other.text())


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_state_and_metrics(client: httpx.Client, photos: list[Path]) -> None:
    assert client.get("/healthz").text == "ok\n"
    assert client.get("/readyz").text == "ready\n"
    name = 'captioner_pictures_total{outcome="captioned"}'

    def captioned() -> float:
        lines = client.get("/metrics").text.splitlines()
        return next((float(line.split()[-1]) for line in lines if line.startswith(name)), 0)

    before = captioned()
    post(client, files=photos)
    assert captioned() == before + 3
    assert "captioner_body_bytes 0\n" in client.get("/metrics").text
    assert "captioner_requests_in_progress 0\n" in client.get("/metrics").text


def test_the_description_has_examples_that_work(client: httpx.Client) -> None:
    described = client.get("/openapi.json").json()
    operation = described["paths"]["/v1/captions"]["post"]
    content = operation["requestBody"]["content"]
    assert set(content) == {"multipart/form-data", "application/json", "image/*", "application/octet-stream"}
    answer = client.post("/v1/captions", json=content["application/json"]["example"])
    assert answer.status_code == 200
    shown = operation["responses"]["200"]["content"]["application/json"]["example"]
    assert shown.keys() == answer.json().keys()
    assert shown["results"][0].keys() == answer.json()["results"][0].keys()
    assert {"400", "401", "403", "408", "413", "415", "422", "429", "503"} <= set(operation["responses"])
    assert {parameter["name"] for parameter in operation["parameters"]} >= {"captions", "attention", "method"}
    assert all("description" in parameter for parameter in operation["parameters"])


def test_the_description_says_where_a_token_is_asked_for(client: httpx.Client, tiny_run: Path) -> None:
    described = client.get("/openapi.json").json()
    assert "securitySchemes" not in described["components"]
    assert not any("security" in each for path in described["paths"].values() for each in path.values())
    refusals = {name: {"401", "403", "503"} & set(path["get"]["responses"]) for name, path in gets(described)}
    assert refusals == {
        "/v1/model": {"401", "403", "503"},
        "/healthz": {"403"},
        "/readyz": {"403", "503"},
        "/metrics": {"401", "403"},
    }
    bearer = {"authorization": "Bearer s3cret"}
    with live(tiny_run, Access(token="s3cret")) as guarded:
        described = guarded.get("/openapi.json", headers=bearer).json()
    assert described["components"]["securitySchemes"] == {"bearer": {"type": "http", "scheme": "bearer"}}
    named = {name: each.get("security") for name, path in described["paths"].items() for each in path.values()}
    asks = [{"bearer": []}]
    assert named == {"/v1/captions": asks, "/v1/model": asks, "/metrics": asks, "/healthz": None, "/readyz": None}


def gets(described: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return [(name, path) for name, path in described["paths"].items() if "get" in path]


def test_head_is_get_without_the_body(client: httpx.Client) -> None:
    for path in ("/", "/static/page.js", "/healthz", "/readyz", "/v1/model", "/metrics", "/openapi.json"):
        head = client.head(path)
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-type"] == client.get(path).headers["content-type"]
    assert client.head("/v1/captions").status_code == 405


def test_a_token(tiny_run: Path, photos: list[Path]) -> None:
    with live(tiny_run, Access(token="s3cret")) as client:
        for path in ("/", "/static/page.js", "/healthz", "/readyz"):
            assert client.get(path).status_code == 200
        refusal = (401, "the token is missing or wrong", "send Authorization: Bearer TOKEN")
        for path in ("/v1/model", "/metrics", "/openapi.json", "/elsewhere"):
            answer = client.get(path, headers={"authorization": "Bearer s3cre"})
            assert problem(answer) == refusal
            assert answer.headers["www-authenticate"] == "Bearer"
        assert problem(post(client, files=photos)) == refusal
        for scheme in ("Bearer", "bearer", "BEARER"):
            assert post(client, files=photos, headers={"authorization": f"{scheme} s3cret"}).status_code == 200
        for wrong in ("s3cret", "Basic s3cret", "Bearer", "Bearer s3cret x", "Bearers3cret"):
            assert client.get("/v1/model", headers={"authorization": wrong}).status_code == 401


def test_pages_of_other_sites(client: httpx.Client, tiny_run: Path, photos: list[Path]) -> None:
    refusal = (403, "a page of another site asks", "whoever runs the server may allow it: --allow-origin")
    for origin in ("https://evil.example", "null", "http://127.0.0.1.evil.example"):
        answer = post(client, files=photos[:1], headers={"origin": origin})
        assert problem(answer) == refusal
        assert "access-control-allow-origin" not in answer.headers
    assert post(client, files=photos[:1], headers={"origin": str(client.base_url)}).status_code == 200
    asking = {"access-control-request-method": "POST", "access-control-request-headers": "authorization"}
    assert client.options("/v1/captions", headers={"origin": "https://evil.example", **asking}).status_code == 405
    with live(tiny_run, Access(origins=("https://friend.example",))) as open_to_one:
        friend = {"origin": "https://friend.example"}
        assert open_to_one.options("/v1/captions", headers=friend | asking).status_code == 200
        answer = post(open_to_one, files=photos[:1], headers=friend)
        assert answer.headers["access-control-allow-origin"] == "https://friend.example"
        assert post(open_to_one, files=photos[:1], headers={"origin": "https://evil.example"}).status_code == 403


@pytest.mark.parametrize("origin", ["http://[", "http://a]", "http://[::1", "//", ""])
def test_an_origin_that_cannot_be_read_is_another_site(client: httpx.Client, origin: str) -> None:
    answer, content = asked(client, "GET", "/v1/model", Origin=origin)
    assert (answer.status, json.loads(content)["detail"]) == (403, "a page of another site asks")
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_a_page_that_may_ask_reads_refusals_too(tiny_run: Path) -> None:
    friend = {"origin": "https://friend.example"}
    with live(tiny_run, Access("s3cret", ("https://friend.example",))) as client:
        answer = client.get("/v1/model", headers=friend)
        assert problem(answer)[0] == 401
        assert answer.headers["access-control-allow-origin"] == "https://friend.example"
        assert answer.headers["access-control-expose-headers"] == "Retry-After"
        assert answer.headers["x-content-type-options"] == "nosniff"
        stranger = client.get("/v1/model", headers={"origin": "https://evil.example"})
        assert problem(stranger)[0] == 403
        assert "access-control-allow-origin" not in stranger.headers


@pytest.mark.parametrize(
    ("address", "origin"),
    [
        ("https://b.example/", "https://b.example"),
        ("HTTPS://B.Example:443", "https://b.example"),
        ("http://b.example:8080", "http://b.example:8080"),
        ("http://[::1]:80/", "http://[::1]"),
    ],
)
def test_origins_are_written_as_browsers_do(address: str, origin: str) -> None:
    assert origin_of(address) == origin


def test_a_model_that_cannot_be_loaded(tmp_path: Path) -> None:
    outcome: list[object] = []
    with unready(tmp_path, NOBODY, LIMITS, outcome) as client:
        while not outcome:
            assert client.get("/healthz").status_code == 200
        expected = (503, "the model is being loaded", "try again in a moment")
        answer = client.get("/readyz")
        assert problem(answer) == expected
        assert answer.headers["retry-after"] == "1"
        assert problem(client.get("/v1/model")) == expected
        assert problem(client.post("/v1/captions", content=b"x")) == expected
    assert isinstance(outcome[0], CheckpointError)


def test_a_fault_of_ours_tells_nothing(
    client: httpx.Client, photos: list[Path], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object, **__: object) -> Callable[..., Any]:
        raise RuntimeError("inner secret")

    monkeypatch.setattr("captioner.predictor.Captioner.caption_features", broken)
    answer = post(client, files=photos[:1])
    expected = "the server failed at this request", "tell whoever runs it; its log has the reason"
    assert problem(answer) == (500, *expected)
    assert "secret" not in answer.text
    assert "a request failed: RuntimeError" in caplog.text
