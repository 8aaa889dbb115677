"""What is asked for of a list of pictures, and what does the work: this computer, or a Ray cluster."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

from captioner import processes
from captioner.errors import UsageError
from captioner.events import Listener

if TYPE_CHECKING:
    from captioner.folder.job import FolderJob, Watcher, Wording
    from captioner.folder.manifest import Manifest
    from captioner.folder.ray_job import Models, RayJob
    from captioner.predictor import Captioner


class Engine(str, Enum):
    """What does the work."""

    local = "local"
    ray = "ray"


@dataclass(frozen=True)
class Order:
    """What is asked for, wherever it goes."""

    captioner: "Captioner"
    wording: "Wording"
    number: int
    """Captions of a picture, at most."""
    least: float
    """Confidence from which captions pass; the others are for review."""
    listener: Listener
    watch: "Watcher | None" = None
    ray: "Models | None" = None
    """What a Ray cluster loads, where it is to do the work."""

    @contextmanager
    def job(self, files: Sequence[str], manifest: Path | None) -> Iterator["FolderJob | RayJob | None"]:
        """The work, over the manifest at a path or a temporary one; None where another process writes its rows."""
        if self.ray is not None:
            from captioner.folder.ray_job import RayJob

            yield RayJob(self.ray, files, self.listener, self.wording, self.number)
            return
        from captioner.folder.job import FolderJob
        from captioner.folder.sharing import shared_job

        def make(known: "Manifest") -> FolderJob:
            return FolderJob(self.captioner, files, self.listener, known, self.wording, self.number, self.watch)

        with shared_job(make, manifest) as job:
            yield job


def choose_engine(
    engine: Engine, models: Sequence[Path], overrides: Sequence[str], attention: Path | None
) -> "Models | None":
    """What a Ray cluster is to load; None: nothing, there is none. Raises ``UsageError`` where that cannot be."""
    if engine is Engine.local:
        return None
    if attention is not None:
        raise UsageError("--attention draws on this computer", "leave out --engine ray")
    if processes.count() > 1:
        raise UsageError("torchrun and --engine ray both share out the work", "leave out one of them")
    from captioner.folder.ray_job import Models, check_ray

    check_ray()
    return Models(models, overrides)
