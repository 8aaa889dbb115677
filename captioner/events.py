"""What the core tells while it works. It never prints: the command line, or a program, decides what to show."""

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Progress:
    """Long work moved on. ``detail`` is a few words such as the loss; ``done`` equal to ``total`` ends the task."""

    task: str
    done: int
    total: int
    unit: str
    detail: str = ""


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


def ignore(_: Event) -> None:
    """The listener of those who do not listen."""
