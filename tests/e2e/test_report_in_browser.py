"""A report opens from its file in a browser: wide, on a phone, in the dark and on paper, without a network."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from captioner.evaluation.report import write_report
from captioner.events import ignore
from captioner.scoring import evaluate_model, origin_of

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="chromium is not on the PATH")]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def report(tiny_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "a report & more.html"
    origin = origin_of([tiny_run], [], "tiny, val", "captioner evaluate")
    write_report(path, evaluate_model([tiny_run], "val", [], ignore), origin)
    return path


def opened(browser: Any, report: Path, asked: list[str], **context: Any) -> Any:
    page = browser.new_context(**context).new_page()
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: asked.append(message.text))
    page.on("pageerror", lambda error: asked.append(str(error)))
    page.goto(report.as_uri())
    return page


@pytest.mark.parametrize("width", [1280, 390, 320])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_and_asks_for_nothing(browser: Any, report: Path, width: int, scheme: str) -> None:
    asked: list[str] = []
    page = opened(browser, report, asked, viewport={"width": width, "height": 800}, color_scheme=scheme)
    assert [url for url in asked if not url.startswith("data:")] == [report.as_uri()]
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("[...document.images].every(image => image.naturalWidth > 0)")
    assert page.evaluate("document.images.length") > 8
    assert page.evaluate("[...document.querySelectorAll('svg')].every(chart => chart.clientWidth > 200)")
    assert page.locator("svg").count() >= 9
    back, ink, chart_ink = (
        page.evaluate(f"getComputedStyle(document.querySelector('{part}')).{style}")
        for part, style in (("body", "backgroundColor"), ("body", "color"), (".chart .name", "fill"))
    )
    bright, dark = (sum(map(int, colour[4:-1].split(","))) for colour in (back, ink))
    assert (bright > 600 and dark < 150) if scheme == "light" else (bright < 150 and dark > 600)
    assert ink == chart_ink
    page.context.close()


def test_it_prints_dark_on_white(browser: Any, report: Path) -> None:
    page = opened(browser, report, [], color_scheme="dark")
    assert page.pdf().startswith(b"%PDF")
    page.emulate_media(media="print", color_scheme="dark")
    colours = "[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]"
    assert page.evaluate(colours) == ["rgb(255, 255, 255)", "rgb(0, 0, 0)"]
    assert page.evaluate("getComputedStyle(document.querySelector('.chart .name')).fill") == "rgb(0, 0, 0)"
    assert not page.locator("nav").is_visible()
    page.context.close()
