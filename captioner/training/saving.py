"""Writing checkpoints beside training: one at a time, in a thread; what goes wrong there is raised here."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from time import monotonic

from captioner.parallel import compute_alone


class Saving:
    """Knows when the next checkpoint is due, and writes it in the background."""

    def __init__(self, minutes: float) -> None:
        self._seconds = 60 * minutes
        self._last = monotonic()
        self._pool = ThreadPoolExecutor(1, "checkpoint", compute_alone)
        self._job: Future[None] | None = None

    @property
    def due(self) -> bool:
        """Whether it is time for one. Raises ``StorageError`` if the one before could not be written."""
        if self._job is not None:
            if not self._job.done():
                return False
            self.wait()
        return monotonic() - self._last >= self._seconds

    def begin(self, write: Callable[[], None]) -> None:
        """Run ``write`` in the background, after the one before. Raises ``StorageError`` if that one failed."""
        self.wait()
        self._last = monotonic()
        self._job = self._pool.submit(write)

    def wait(self) -> None:
        """Until everything is written. Raises ``StorageError`` if it could not be."""
        job, self._job = self._job, None
        if job is not None:
            job.result()

    def close(self) -> None:
        """Let what is being written come to its end, whatever it is."""
        self._pool.shutdown()
