"""Events -> TensorBoard, for those who watch many runs side by side there."""

from pathlib import Path
from typing import TYPE_CHECKING

from captioner.errors import UsageError
from captioner.events import EpochDone, Event, Progress

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


class TensorBoard:
    """A listener that writes the loss and rates of each batch, and the figures of each epoch, to ``run/tensorboard``.

    The horizontal axis is the number of optimiser steps; what a resumed run repeats replaces what was there.
    """

    def __init__(self, run: Path) -> None:
        """Raises ``UsageError`` unless TensorBoard is installed."""
        try:
            import tensorboard  # noqa: F401
        except ImportError:
            raise UsageError(
                "--tensorboard needs TensorBoard, which is not installed",
                "install it: pip install 'captioner[tensorboard]'",
            ) from None
        self._folder = run / "tensorboard"
        self._writer: SummaryWriter | None = None

    def listen(self, event: Event) -> None:
        """Write an event's figures, if it has any that belong to a step."""
        if isinstance(event, EpochDone):
            numbers = {name: value for name, value in event.row.items() if isinstance(value, int | float)}
            self._write("epoch", numbers)
            if self._writer is not None:
                self._writer.flush()
        elif isinstance(event, Progress) and "step" in event.values:
            self._write("batch", event.values)

    def _write(self, group: str, figures: dict[str, float]) -> None:
        step = int(figures["step"])
        if self._writer is None:
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(str(self._folder), purge_step=step)
        for name, value in figures.items():
            if name != "step":
                self._writer.add_scalar(f"{group}/{name}", value, step)
