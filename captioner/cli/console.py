"""Everything a person sees: progress, notes, tables and errors, for a terminal or for a pipe."""

import json
import shlex
import sys
import time
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from rich import box
from rich.console import Console as RichConsole
from rich.table import Column, Table

from captioner.cli.display import Display, amount
from captioner.errors import CaptionerError
from captioner.events import EpochDone, Event, Note, Progress, Warned, to_json
from captioner.files import write_text

_PLAIN_SECONDS = 10.0  # Between two lines of progress where there is no terminal to redraw.


class Console:
    """Results go to standard output, everything else to standard error, so that results can be piped."""

    def __init__(self, quiet: bool = False, events: bool = False) -> None:
        """``quiet`` shows warnings and errors only; ``events`` prints each event as a line of JSON, for programs."""
        self.quiet = quiet
        self.events = events
        self._out = RichConsole(highlight=False, soft_wrap=True, emoji=False)
        self._err = RichConsole(stderr=True, highlight=False, soft_wrap=True, emoji=False)
        self._display: Display | None = None
        self._last_line: dict[str, float] = {}

    def __enter__(self) -> "Console":
        if self._err.is_terminal and not self.quiet and not self.events:
            self._display = Display(self._err)
            self._display.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._display is not None:
            self._display.stop()
            self._display = None

    def listen(self, event: Event) -> None:
        """Show what the core tells."""
        if self.events:
            sys.stdout.write(_json_line(to_json(event)))
            sys.stdout.flush()
        elif self.quiet and not isinstance(event, Warned):
            return
        elif isinstance(event, Progress):
            self._show_progress(event)
        elif isinstance(event, Note):
            self._line(event.text)
        elif isinstance(event, Warned):
            self._line(f"warning: {event.text}", style="yellow")
        elif isinstance(event, EpochDone):
            self._show_epoch(event)

    def _line(self, text: str, style: str | None = None) -> None:
        stamp = "" if self._err.is_terminal else time.strftime("%H:%M:%S ")
        self._err.print(stamp + _harmless(text), style=style, markup=False)

    def _show_progress(self, event: Progress) -> None:
        if self._display is not None:
            self._display.progress(event)
            return
        now = time.monotonic()
        first = self._last_line.setdefault(event.task, now)
        if event.done >= event.total or now - first >= _PLAIN_SECONDS:
            self._last_line[event.task] = now
            detail = f", {event.detail}" if event.detail else ""
            self._line(f"{event.task}: {amount(event)}{detail}")

    def _show_epoch(self, event: EpochDone) -> None:
        if self._display is not None:
            self._display.epoch(event.row)
        else:
            self._line(_epoch_line(event.row))

    def table(self, headers: Sequence[str], rows: Iterable[Sequence[Any]], title: str = "") -> None:
        """A table on a terminal; tab-separated lines when piped, the first one with the headers, where it has any."""
        texts = [[str(cell) for cell in row] for row in rows]
        if self._display is not None:  # It redraws itself, also where a table is being written.
            self._display.stop()
        if not self._out.is_terminal:
            for line in [headers, *texts] if any(headers) else texts:
                self.line(line)
            return
        plain = not any(headers)
        style = None if plain else box.SIMPLE_HEAD
        columns = [Column(header, overflow="fold") for header in headers]  # Or a long path would lose its end.
        table = Table(*columns, title=title or None, title_justify="left", show_header=not plain, box=style)
        for row in texts:
            table.add_row(*map(_harmless, row))
        self._out.print(table, markup=False)

    def advice(self, headers: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """A table whose last column says what to do; on a terminal each whole in a line below, to be copied."""
        if not self._out.is_terminal:
            self.table(headers, rows)
            return
        self.table(headers[:-1], [row[:-1] for row in rows])
        for *_, part, _, remedy in rows:
            if remedy:
                self._out.print(f"# {_harmless(part)}", style="dim", markup=False)
                self._out.print(f"{_harmless(remedy)}\n", markup=False)

    @property
    def is_terminal(self) -> bool:
        """Whether results go to a person's terminal, rather than into a pipe or file."""
        return self._out.is_terminal

    def line(self, cells: Sequence[str]) -> None:
        """One tab-separated line on standard output, for pipes; tabs and line ends inside a cell become blanks.

        Bytes of a file's name that are not UTF-8 stay as they are.
        """
        text = "\t".join(" ".join(cell.splitlines()).replace("\t", " ") for cell in cells)
        sys.stdout.buffer.write(text.encode("utf-8", "surrogateescape") + b"\n")

    @staticmethod
    def to_json(value: Any) -> str:
        """A value as programs read it."""
        return json.dumps(value, indent=2, ensure_ascii=False) + "\n"

    def json(self, value: Any) -> None:
        """A value for programs, on standard output."""
        sys.stdout.write(self.to_json(value))

    def write_json(self, path: Path, value: Any) -> None:
        """A value for programs, in a file. Raises ``StorageError``."""
        write_text(path, self.to_json(value))

    def warn(self, text: str) -> None:
        """A line worth acting on."""
        self.listen(Warned(text))

    def command(self, words: Sequence[str], purpose: str) -> None:
        """A command that is about to run, as one would type it, under a comment that says what for."""
        self._err.print(f"\n# {purpose}", style="dim", markup=False)
        self._err.print(f"$ {shlex.join(words)}", style="bold", markup=False)

    def done(self, text: str) -> None:
        """The last line of a command: what was made, and where."""
        self.listen(Note(text))

    def error(self, error: CaptionerError) -> None:
        """Two lines: what is wrong, with the section of docs/error-reference.md that has more, and what to do."""
        *earlier, last = error.problem.splitlines()
        for line, text in enumerate([*earlier, f"{last}  [{type(error).__name__}]"]):
            self._err.print(("error: " if not line else "       ") + _harmless(text), style="red", markup=False)
        if error.remedy:
            self._err.print(f"       {_harmless(error.remedy)}", markup=False)


def _harmless(text: str) -> str:
    """What a file's name may hold and a terminal would obey, or not be able to show, as Python writes it."""
    return "".join(
        sign.encode("unicode_escape").decode() if unicodedata.category(sign) in ("Cc", "Cs") else sign for sign in text
    )


def _json_line(value: dict[str, Any]) -> str:
    """One line; what JSON cannot say, infinity and no number, is null."""
    finite = json.loads(json.dumps(value), parse_constant=lambda _: None)
    return json.dumps(finite, ensure_ascii=False) + "\n"


def _epoch_line(row: dict[str, Any]) -> str:
    return (
        f"epoch {row['epoch']}: loss {row['loss']:.3f}, validation CIDEr {row['val_CIDEr']:.3f}, "
        f"BLEU-4 {row['val_Bleu_4']:.3f}, {row['captions_per_second']:.0f} captions/s"
    )
