"""The page in a real browser: dropped and pasted pictures get captions, words show where the model looked."""

import base64
import importlib
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from live_server import live

from captioner.serving.limits import Access

pytestmark = pytest.mark.slow

EVENT = """([kind, name, data]) => {
  const bytes = Uint8Array.from(atob(data), (sign) => sign.charCodeAt(0));
  const transfer = new DataTransfer();
  transfer.items.add(new File([bytes], name, { type: "image/png" }));
  const event = kind === "drop"
    ? new DragEvent("drop", { dataTransfer: transfer, bubbles: true, cancelable: true })
    : new ClipboardEvent("paste", { clipboardData: transfer, bubbles: true });
  document.getElementById("drop").dispatchEvent(event);
}"""
VEIL = """(canvas) => {
  const alpha = (share) => canvas.width && canvas.getContext("2d", { willReadFrequently: true })
    .getImageData(share * canvas.width, share * canvas.height, 1, 1).data[3];
  const shown = canvas.classList.contains("shown");
  return [shown, shown ? alpha(0.1) : 0, shown ? alpha(0.9) : 0];
}"""
"""Whether there is one, and how thick it is at the upper left and at the lower right."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Debian's chromium, by Playwright."""
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("chromium is not installed")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    playwright.expect.set_options(timeout=60_000)  # Other work may share the machine.
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def address(tiny_run: Path) -> Iterator[str]:
    with live(tiny_run) as client:
        yield str(client.base_url)


@pytest.fixture
def page(browser: Any, address: str) -> Iterator[Any]:
    """The page, once it knows the model. Nothing may go wrong in it, and it may ask nobody else."""
    context = browser.new_context(viewport={"width": 360, "height": 800})
    page = context.new_page()
    wrong: list[str] = []
    page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on(
        "request", lambda asked: None if asked.url.startswith((address, "blob:", "data:")) else wrong.append(asked.url)
    )
    page.goto(address)
    expect(page.locator("#model")).to_contain_text("mobilenet_v3_small, attention")
    yield page
    context.close()
    assert wrong == []


def expect(locator: Any) -> Any:
    return importlib.import_module("playwright.sync_api").expect(locator)


def bring(page: Any, kind: str, photo: Path) -> None:
    page.evaluate(EVENT, [kind, photo.name, base64.b64encode(photo.read_bytes()).decode()])


def best(page: Any) -> Any:
    return page.locator("article > .said > .sentence")


@pytest.fixture
def photos(shapes: Path) -> list[Path]:
    return sorted((shapes / "images").iterdir())[:3]


def test_pictures_that_are_dropped_pasted_and_chosen(page: Any, photos: list[Path]) -> None:
    page.locator("#number").select_option("1")
    bring(page, "drop", photos[0])
    expect(best(page)).to_have_count(1)
    text = best(page).inner_text()
    expect(page.locator("#status")).to_have_text("Captioned 1 of 1.")
    expect(page.locator("#spoken")).to_have_text(f"{photos[0].name}: {text}")
    expect(page.locator("meter")).to_have_count(1)
    expect(page.locator(".measure span")).to_have_text(re.compile(r"^confidence \d+ %$"))
    expect(page.locator("#sure")).to_contain_text("Confidence is the probability that a caption is right. Right means")
    bring(page, "paste", photos[1])
    expect(best(page)).to_have_count(2)
    page.locator("#files").set_input_files([photos[2], photos[0]])
    expect(best(page)).to_have_count(4)
    expect(page.locator("article").last.locator("figcaption")).to_have_text(photos[0].name)
    expect(page.locator("#status")).to_have_text("Captioned 2 of 2.")


def test_what_only_ranks_has_no_per_cent(browser: Any, tiny_run: Path, photos: list[Path]) -> None:
    """Of a model without a calibration, and of random captions by one that was calibrated for others."""
    ranks = "This model has no calibration: its confidence ranks captions, and is no probability."
    random = "Confidence was calibrated for method beam: random captions are right more often than it says."
    for model, method, said in (
        ("last", "the model’s own choice", ranks),
        ("best", "random ones, new each time", random),
    ):
        with live(tiny_run / model) as client:
            page = browser.new_page()
            page.goto(str(client.base_url))
            expect(page.locator("#model")).to_contain_text("attention")
            expect(page.locator("#sure")).to_be_hidden()
            page.get_by_label("Which captions").select_option(label=method)
            bring(page, "drop", photos[0])
            expect(page.locator("#sure")).to_have_text(said)
            expect(page.locator(".said > .measure span")).to_have_text(re.compile(r"^confidence \d\.\d\d$"))
            assert "%" not in page.locator("body").inner_text()
            page.close()


def answer_for(words: list[str], weights: list[list[float]]) -> dict[str, Any]:
    seen = {"left": 0.0, "top": 0.0, "width": 1.0, "height": 1.0}
    attention = {"rows": 2, "columns": 2, "seen": seen, "weights": weights}
    said = {"caption": " ".join(words), "words": words, "confidence": 0.5, "log_prob": -2.0, "attention": attention}
    other = said | {"caption": " ".join(reversed(words)), "words": words[::-1]}
    return {"model": "x", "results": [said | {"file": "p", "error": "", "alternatives": [other]}]}


def test_words_show_where_the_model_looked_to_mouse_and_keyboard(page: Any, photos: list[Path]) -> None:
    answer = answer_for(["Red", "square", "here"], [[0.7, 0.1, 0.1, 0.1], [0.25] * 4, [0.1, 0.1, 0.1, 0.7]])
    page.route("**/v1/captions?*", lambda route: route.fulfill(json=answer))
    bring(page, "drop", photos[0])
    canvas, words, where = page.locator("canvas"), best(page).locator("button"), page.locator(".where")
    expect(words).to_have_text(["Red", "square", "here"])
    assert canvas.evaluate(VEIL) == [False, 0, 0]
    words.first.hover()
    shown, left, right = canvas.evaluate(VEIL)
    assert shown
    assert left < 40 < 180 < right  # Of 255: the picture is to be seen where the model looked, and hardly elsewhere.
    expect(where).to_have_text("“Red”: mostly on the upper left")
    page.mouse.move(0, 0)
    assert canvas.evaluate(VEIL)[0] is False
    words.first.focus()
    page.keyboard.press("ArrowRight")
    expect(where).to_have_text("“square”: around the middle")
    page.keyboard.press("End")
    expect(words.last).to_be_focused()
    expect(where).to_have_text("“here”: mostly on the lower right")
    page.keyboard.press("Enter")
    expect(words.last).to_have_attribute("aria-pressed", "true")
    page.locator("#number").focus()
    shown, left, right = canvas.evaluate(VEIL)  # Kept until it is pressed again.
    assert shown
    assert right < 40 < 180 < left
    page.locator(".alternative button").first.hover()
    expect(where).to_have_text("“here”: mostly on the upper left")


def test_history_stays_in_the_browser_and_can_be_cleared(page: Any, photos: list[Path]) -> None:
    bring(page, "drop", photos[0])
    expect(best(page)).to_have_count(1)
    text = best(page).inner_text()
    page.reload()
    expect(page.locator("#earlier p")).to_have_text([text])
    assert page.locator("#earlier img").evaluate("(image) => image.naturalWidth") == 144
    page.locator("#clear").click()
    expect(page.locator("#history")).to_be_hidden()
    page.reload()
    expect(page.locator("#model")).to_contain_text("attention")
    expect(page.locator("#history")).to_be_hidden()


def test_a_picture_that_cannot_be_read_is_said_to_be_so(browser: Any, address: str, tmp_path: Path) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    page = browser.new_page()
    page.goto(address)
    bring(page, "drop", broken)
    expect(page.locator(".error")).to_have_text("No caption: not a picture in a format that can be read.")
    expect(page.locator("#status")).to_have_text("Captioned 0 of 1; 1 failed.")
    expect(page.locator("article button")).to_have_count(0)  # It would end in the same way.
    expect(page.locator("article img")).to_be_hidden()
    expect(page.locator(".blank")).to_have_text("This browser has no preview of the file.")
    page.close()


def test_what_may_pass_can_be_tried_again(browser: Any, address: str, photos: list[Path]) -> None:
    page = browser.new_page()
    page.goto(address)
    expect(page.locator("#model")).to_contain_text("attention")
    page.route("**/v1/captions?*", lambda route: route.abort())
    bring(page, "drop", photos[0])
    expect(page.locator(".error")).to_have_text("No caption: the server does not answer.")
    page.unroute("**/v1/captions?*")
    page.get_by_role("button", name="Try again").click()
    expect(best(page)).to_have_count(1)
    expect(page.locator("#status")).to_have_text("Captioned 1 of 1.")
    page.close()


def test_copying(page: Any, photos: list[Path]) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    bring(page, "drop", photos[0])
    page.locator(".said > .measure button").click()
    expect(page.locator("#status")).to_have_text(f"Copied: {best(page).inner_text()}")
    assert page.evaluate("() => navigator.clipboard.readText()") == best(page).inner_text()


def test_a_token_is_asked_for(browser: Any, tiny_run: Path) -> None:
    with live(tiny_run, Access(token="s3cret")) as client:
        page = browser.new_page()
        page.goto(str(client.base_url))
        for token in ("wrong", "s3cret"):
            expect(page.locator("#locked")).to_be_visible()
            page.locator("#token").fill(token)
            page.keyboard.press("Enter")
        expect(page.locator("#model")).to_contain_text("attention")
        expect(page.locator("#locked")).to_be_hidden()
        page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_nothing_bars_anyone(browser: Any, address: str, photos: list[Path], scheme: str, width: int) -> None:
    """Axe finds no violation, and nothing is wider than the screen."""
    axe = pytest.importorskip("axe_core_python.sync_playwright", reason="axe-core-python is not installed")
    context = browser.new_context(
        viewport={"width": width, "height": 800}, color_scheme=scheme, reduced_motion="reduce"
    )
    page = context.new_page()
    page.goto(address)
    bring(page, "drop", photos[0])
    expect(best(page)).to_have_count(1)
    best(page).locator("button").first.hover()
    found = axe.Axe().run(page)
    assert [(one["id"], [node["html"] for node in one["nodes"]]) for one in found["violations"]] == []
    assert len(found["passes"]) > 20
    assert page.evaluate("() => document.documentElement.scrollWidth") == width
    context.close()
