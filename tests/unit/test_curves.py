"""The page of a run's curves: all epochs, nothing from elsewhere, and whatever a name holds."""

import math
from html.parser import HTMLParser
from typing import Any

from captioner.training.curves import curves_page

VOID = {"meta", "br"}


class Page(HTMLParser):
    """Elements in pairs, charts by their titles, rows of the table, and addresses."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.charts: list[str] = []
        self.rows: list[list[str]] = []
        self.best: list[str] = []
        self.addresses: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.addresses += [str(values[name]) for name in ("href", "src") if name in values]
        if tag not in VOID:
            self.open.append(tag)
        if tag == "svg":
            self.charts.append(str(values["aria-label"]))
        if tag == "tr":
            self.rows.append([])
            if values.get("class") == "best":
                self.best = self.rows[-1]

    def handle_endtag(self, tag: str) -> None:
        if tag not in ("polyline", "circle", "line", "rect") or self.open[-1] == tag:
            assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("td", "th"):
            self.rows[-1].append(data)


def row(epoch: int, cider: float, **others: Any) -> dict[str, Any]:
    scores = {"val_perplexity": 20.0 / epoch, "val_Bleu_4": 0.1 * epoch, "val_CIDEr": cider}
    return {"epoch": epoch, "step": 10 * epoch, "loss": 4.0 / epoch, "learning_rate": 0.001, **scores, **others}


def test_every_epoch_is_there_and_the_best_one_stands_out() -> None:
    page = Page(curves_page("runs/a", [row(1, 0.25), row(2, 0.75), row(3, 0.5)]))
    assert page.rows == [
        ["epoch", "loss", "perplexity", "BLEU-4", "CIDEr", "learning rate"],
        ["1", "4.000", "20.00", "0.100", "0.250", "0.001000"],
        ["2", "2.000", "10.00", "0.200", "0.750", "0.001000"],
        ["3", "1.333", "6.67", "0.300", "0.500", "0.001000"],
    ]
    assert page.best[0] == "2"


def test_what_is_logged_is_drawn_known_or_not() -> None:
    page = Page(curves_page("a", [row(1, 0.5, reward=0.25, captions_per_second=100.0, waiting=0.015, note="text")]))
    assert page.charts == [
        "Loss (nats per word)",
        "Validation: CIDEr",
        "Validation: BLEU and ROUGE-L",
        "Validation: perplexity",
        "Learning rate",
        "Speed (captions/s)",
        "Waiting for data (% of a step's time)",
        "Reward",
    ]


def test_a_score_of_next_to_nothing_is_nought() -> None:
    """BLEU of captions without any four words in a row of the references is 1e-14 or so, for coco-caption's sake."""
    text = curves_page("a", [row(1, 0.0004) | {"val_Bleu_4": 5.075e-14, "learning_rate": 3e-6, "waiting": 0.015}])
    assert Page(text).rows[1] == ["1", "4.000", "20.00", "0.000", "0.000", "0.000003"]
    assert "the best validation CIDEr, 0.000, was in epoch 1" in text
    assert "e-14" not in text
    assert "<title>BLEU-4 1: 0</title>" in text
    assert "<title> 1: 1.5</title>" in text


def test_it_needs_nothing_from_elsewhere() -> None:
    text = curves_page("a", [row(1, 0.5)])
    assert Page(text).addresses == []
    assert not any(word in text for word in ("http", "url(", "@import", "<script"))


def test_names_are_only_text() -> None:
    text = curves_page("<script>&", [row(1, 0.5)])
    assert "<script>" not in text
    assert "&lt;script&gt;&amp;" in text


def test_an_epoch_that_went_wrong_leaves_a_gap() -> None:
    rows = [row(1, 0.5), row(2, 0.6, loss=math.nan), row(3, 0.7), row(4, 0.8)]
    page = Page(curves_page("a", rows))
    assert page.rows[2][1] == "nan"
