"""The gallery is one file for people: every caption as it was written, pictures inside, nothing from elsewhere."""

import base64
import io
import sys
from pathlib import Path

import pytest
from page_reader import Page
from PIL import Image

from captioner.errors import UsageError
from captioner.evaluation.contest import Contest
from captioner.evaluation.evaluator import Evaluation, score_captions
from captioner.evaluation.gallery import write_gallery
from captioner.evaluation.references import ImageId, References
from captioner.pages.html import check_pages
from captioner.text import tokenize

NASTY = "<script>alert('dog')</script> & \"a cat\" at http://example.com/x.png"


def side(captions: dict[ImageId, str], references: References) -> Evaluation:
    words = {key: tokenize(text) for key, text in captions.items()}
    return score_captions(words, references, captions, {"method": "file", "name": "x.json"})


def contest(images: int, files: dict[ImageId, Path]) -> Contest:
    """A says what the reference says of even images, B of odd ones; of the first, A says something nasty."""
    references = References("r.json", {key: [f"a dog number {key} runs", "it runs"] for key in range(images)})
    captions: list[dict[ImageId, str]] = [
        {key: f"a dog number {key} runs" if key % 2 == odd else f"it runs {key}" for key in references.texts}
        for odd in (0, 1)
    ]
    captions[0][0] = NASTY
    names = ("<b>a</b>.json", "b.json")
    return Contest.hold(names, (side(captions[0], references), side(captions[1], references)), references, files, 1)


def test_fifty_images_in_one_file(tmp_path: Path) -> None:
    picture = tmp_path / "p.png"
    Image.new("RGB", (1200, 400), "red").save(picture)
    broken = tmp_path / "broken.png"
    broken.write_text("no picture")
    shown = [pair.image_id for pair in contest(60, {}).pairs()[:50]]
    files = dict.fromkeys(shown, picture) | {shown[0]: broken, shown[1]: tmp_path / "none.png"}
    assert write_gallery(tmp_path / "g.html", contest(60, files)) == 50
    page = Page((tmp_path / "g.html").read_text(encoding="utf-8"))
    assert len(page.all("article")) == 50
    assert len(page.all("li")) == 100
    sources = [attributes["src"] or "" for attributes in page.all("img")]
    assert len(sources) == 48
    for source in sources:
        assert source.startswith("data:image/jpeg;base64,")
        with Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2]))) as image:
            assert image.size == (480, 160)
    assert "broken.png: not a picture in a format that can be read" in page.text
    assert "none.png: no such file" in page.text


def test_nothing_is_fetched_and_captions_stay_text(tmp_path: Path) -> None:
    write_gallery(tmp_path / "g.html", contest(10, {}))
    text = (tmp_path / "g.html").read_text(encoding="utf-8")
    page = Page(text)
    assert len(page.all("article")) == 10
    assert NASTY in "".join(page.texts)
    assert "<b>a</b>.json" in page.texts
    assert not page.all("script")
    assert not page.all("link")
    for tag, attributes in page.tags:
        assert not {"src", "href", "onerror", "onload"} & set(attributes), tag
    assert text.count("http") == text.count("http://example.com/x.png") == 1
    assert "url(" not in text
    assert "@import" not in text


def test_it_fits_phones_and_the_dark(tmp_path: Path) -> None:
    write_gallery(tmp_path / "g.html", contest(10, {}))
    text = (tmp_path / "g.html").read_text(encoding="utf-8")
    metas = {attributes.get("name"): attributes.get("content") for attributes in Page(text).all("meta")}
    assert metas["viewport"] == "width=device-width, initial-scale=1"
    assert metas["color-scheme"] == "light dark"
    assert "@media (prefers-color-scheme: dark)" in text


def test_the_verdicts_and_what_was_compared_are_there(tmp_path: Path) -> None:
    found = contest(10, {})
    write_gallery(tmp_path / "g.html", found)
    text = Page((tmp_path / "g.html").read_text(encoding="utf-8")).text
    cider = found.comparison.metrics["CIDEr"]
    assert f"CIDEr {cider.a:.4f} {cider.b:.4f} {cider.difference:+.4f}" in text
    assert cider.verdict in text
    assert "tokenizer captioner-ptb-1" in text
    assert f"20 captions of r.json, sha256 {found.references.sha256[:12]}" in text
    assert "10,000 resamples of the images, seed 1" in text


def test_those_that_differ_most_come_first() -> None:
    gaps = [abs(pair.difference) for pair in contest(30, {}).pairs()]
    assert gaps == sorted(gaps, reverse=True)


def test_without_jinja_the_way_to_get_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    check_pages("--gallery")
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(UsageError) as refusal:
        check_pages("--gallery")
    assert refusal.value.problem == "--gallery needs Jinja2, which is not installed"
    assert refusal.value.remedy == "install it: pip install 'captioner[report]'"


def test_a_page_is_html() -> None:
    check_pages("--gallery", Path("differences.HTM"))
    with pytest.raises(UsageError) as refusal:
        check_pages("--gallery", Path("differences.pdf"))
    assert refusal.value.problem == "--gallery writes HTML, and differences.pdf is to be something else"
    assert refusal.value.remedy == "name a file that ends in .html"
