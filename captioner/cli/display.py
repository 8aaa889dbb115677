"""What is redrawn on a terminal while work goes on: bars, and above them the epochs of a training so far."""

from collections.abc import Iterator
from typing import Any, Final

from rich import box
from rich.console import Console as RichConsole
from rich.console import Group, RenderableType
from rich.live import Live
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from captioner.events import Progress as Moved
from captioner.files import readable_size

_COLUMNS: Final = {
    "epoch": ("epoch", "d"),
    "loss": ("loss", ".3f"),
    "val_perplexity": ("perplexity", ".2f"),
    "val_Bleu_4": ("BLEU-4", ".3f"),
    "val_CIDEr": ("CIDEr", ".3f"),
    "captions_per_second": ("captions/s", ",.0f"),
}
"""Of the log's row of an epoch: what is shown, under which name and how."""
_ALL_EPOCHS: Final = "training"
_OTHER_LINES: Final = 8
"""Of the terminal's height, for bars, header and prompt."""
_WIDE: Final = 120
"""Columns that a bar needs with all its details."""
_MEMORY: Final = 3600.0
"""Seconds over which speeds are measured: validation falls between the batches, and counts."""


class Display:
    """Stays on the terminal until ``stop``; of it only the table of epochs then remains."""

    def __init__(self, console: RichConsole) -> None:
        # Where a line has no room for them, the details stand below the bars.
        beside = [TextColumn("{task.fields[detail]}")] if console.width >= _WIDE else []
        columns = (
            TextColumn("{task.description}"),
            BarColumn(bar_width=24 if beside else 12),
            TextColumn("{task.fields[amount]}"),
            TimeRemainingColumn(),
            *beside,
        )
        self._console, self._beside = console, bool(beside)
        self.bars = Progress(*columns, console=console, speed_estimate_period=_MEMORY)
        self._tasks: dict[str, TaskID] = {}
        self._rows: list[dict[str, Any]] = []
        self._live = Live(get_renderable=self.drawn, console=console, refresh_per_second=8)

    def start(self) -> None:
        """Begin to draw."""
        self._live.start()

    def stop(self) -> None:
        """Leave the whole table of epochs, if there is one, and nothing else."""
        self.bars.disable = True
        self._live.transient = not self._rows
        self._live.stop()

    def progress(self, event: Moved) -> None:
        """Move a task's bar; that of a training moves a bar of all its epochs, too."""
        if "epochs" in event.values:
            epoch, epochs = int(event.values["epoch"]), int(event.values["epochs"])
            done = (epoch - 1) * event.total + event.done
            self._move(_ALL_EPOCHS, done, epochs * event.total, f"epoch {epoch} of {epochs}", "")
        self._move(event.task, event.done, event.total, amount(event), event.detail)

    def _move(self, name: str, done: int, total: int, text: str, detail: str) -> None:
        if name not in self._tasks:
            self._tasks[name] = self.bars.add_task(name, total=total, completed=done, amount="", detail="")
        self.bars.update(self._tasks[name], completed=done, total=total, amount=text, detail=detail)
        if done >= total:
            self.bars.remove_task(self._tasks.pop(name))

    def epoch(self, row: dict[str, Any]) -> None:
        """Add an epoch to the table."""
        self._rows.append(row)

    def drawn(self) -> RenderableType:
        """All of it, as it is now."""
        return Group(*self._parts())

    def _parts(self) -> Iterator[RenderableType]:
        if self._rows:
            room = len(self._rows) if self.bars.disable else max(1, self._console.height - _OTHER_LINES)
            yield epoch_table(self._rows, room)
        if not self.bars.disable:
            yield self.bars
            if not self._beside:
                yield from (Text(detail) for task in self.bars.tasks if (detail := task.fields["detail"]))


def epoch_table(rows: list[dict[str, Any]], room: int) -> Table:
    """The last ``room`` epochs, the best of all in bold."""
    shown = {key: column for key, column in _COLUMNS.items() if key in rows[-1]}
    best = max(rows, key=lambda row: row.get("val_CIDEr", 0.0))
    table = Table(box=box.SIMPLE_HEAD)
    for title, _ in shown.values():
        table.add_column(title, justify="right")
    table.add_column("")
    for row in rows[-room:]:
        cells = [format(row[key], form) if key in row else "" for key, (_, form) in shown.items()]
        table.add_row(*cells, "best" if row is best else "", style="bold" if row is best else None)
    return table


def amount(event: Moved) -> str:
    """How much of a task is done: ``12 of 50 batches``."""
    if event.unit == "bytes":
        return f"{readable_size(event.done)} of {readable_size(event.total)}"
    return f"{event.done:,} of {event.total:,} {event.unit}"
