"""What a terminal shows while a training goes on, and what of it stays."""

import io
import re

from rich.console import Console

from captioner.cli.display import Display, epoch_table
from captioner.events import Progress

ROWS = [
    {"epoch": number, "loss": 4 / number, "val_CIDEr": cider, "captions_per_second": 1234.5}
    for number, cider in ((1, 0.25), (2, 0.75), (3, 0.5))
]


def terminal(height: int = 25, width: int = 120) -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=width, height=height, color_system=None)


def shown(console: Console) -> list[list[str]]:
    """The words of each line, without what moves the cursor."""
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", console.file.getvalue())  # type: ignore[attr-defined]
    return [line.split() for line in text.replace("\r", "\n").splitlines() if line.strip(" ─")]


def test_the_table_has_what_was_logged_and_marks_the_best() -> None:
    console = terminal()
    console.print(epoch_table(ROWS, room=10))
    assert shown(console) == [
        ["epoch", "loss", "CIDEr", "captions/s"],
        ["1", "4.000", "0.250", "1,234"],
        ["2", "2.000", "0.750", "1,234", "best"],
        ["3", "1.333", "0.500", "1,234"],
    ]


def test_what_has_no_room_is_left_out_from_the_top() -> None:
    console = terminal()
    console.print(epoch_table(ROWS, room=2))
    assert [line[0] for line in shown(console)] == ["epoch", "2", "3"]


def test_a_training_has_a_bar_of_its_own_and_one_of_the_epoch() -> None:
    console = terminal()
    display = Display(console)
    values = {"epoch": 2, "epochs": 4, "step": 15, "loss": 2.5}
    display.progress(Progress("epoch 2/4", 5, 10, "batches", "loss 2.500", values))
    console.print(display.drawn())
    training, epoch = shown(console)
    assert [training[0], *training[2:6]] == ["training", "epoch", "2", "of", "4"]
    assert [*epoch[:2], *epoch[3:7]] == ["epoch", "2/4", "5", "of", "10", "batches"]
    assert epoch[-2:] == ["loss", "2.500"]
    assert [task.percentage for task in display.bars.tasks] == [37.5, 50.0]


def test_on_a_narrow_terminal_the_details_stand_below() -> None:
    console = terminal(width=80)
    display = Display(console)
    values = {"epoch": 2, "epochs": 40, "step": 15, "loss": 2.5}
    detail = "loss 2.500, 1234 captions/s, 12345 tokens/s, waiting 0.3%"
    display.progress(Progress("epoch 2/40", 1005, 1184, "batches", detail, values))
    console.print(display.drawn())
    training, epoch, below = shown(console)
    assert [training[0], *training[2:6]] == ["training", "epoch", "2", "of", "40"]
    assert [*epoch[:2], *epoch[3:]] == ["epoch", "2/40", "1,005", "of", "1,184", "batches", "-:--:--"]
    assert " ".join(below) == detail


def test_the_whole_table_stays_and_nothing_else() -> None:
    console = terminal(height=9)
    display = Display(console)
    display.start()
    display.progress(Progress("epoch 3/3", 1, 2, "batches"))
    for row in ROWS:
        display.epoch(row)
    display.stop()
    last = shown(console)[-4:]
    assert [line[0] for line in last] == ["epoch", "1", "2", "3"]


def test_without_epochs_nothing_stays() -> None:
    console = terminal()
    display = Display(console)
    display.start()
    display.progress(Progress("features", 2, 2, "pictures"))
    display.stop()
    assert not any("features" in line for line in shown(console)[-1:])
