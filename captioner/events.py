"""What the core tells while it works. It never prints: the command line, or a program, decides what to show."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, Final


@dataclass(frozen=True)
class Progress:
    """Long work moved on. ``detail`` is a few words such as the loss; ``done`` equal to ``total`` ends the task."""

    task: str
    done: int
    total: int
    unit: str
    detail: str = ""
    values: dict[str, float] = field(default_factory=dict)
    """Figures by name, for programs and curves; while training: epoch, epochs, step, loss and the rates."""


@dataclass(frozen=True)
class Note:
    """A line worth knowing."""

    text: str


@dataclass(frozen=True)
class Warned:
    """A line worth acting on."""

    text: str


@dataclass(frozen=True)
class EpochDone:
    """One row of the training log."""

    row: dict[str, float | int | str] = field(default_factory=dict)


Event = Progress | Note | Warned | EpochDone
Listener = Callable[[Event], None]


_NAMES: Final = {Progress: "progress", Note: "note", Warned: "warning", EpochDone: "epoch"}


def to_json(event: Event) -> dict[str, Any]:
    """An event's name and its fields, as ``captioner train --json`` prints them."""
    return {"event": _NAMES[type(event)], **asdict(event)}


def to_all(*listeners: Listener) -> Listener:
    """One listener that passes every event on to all of these, in their order."""

    def tell(event: Event) -> None:
        for listener in listeners:
            listener(event)

    return tell


def ignore(_: Event) -> None:
    """The listener of those who do not listen."""
