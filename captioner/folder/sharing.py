"""A captioning job by several processes: each captions a share into a manifest of its own; the first one joins them.

The first process then does the job as it would alone, finds every caption known, and writes the rows in the order of
the files. A share consists of the groups that one process with as many threads would form, so that the captions are
the same, too.
"""

import glob
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from captioner import processes
from captioner.folder.job import FolderJob
from captioner.folder.manifest import Manifest


@contextmanager
def shared_job(make: Callable[[Manifest], FolderJob], path: Path | None) -> Iterator[FolderJob | None]:
    """The job whose rows are to be written, over the manifest at ``path``; None in processes other than the first.

    None for ``path`` is a temporary one. Raises ``UsageError`` where another captioner uses it, and ``StorageError``.
    """
    with ExitStack() as stack:
        count, rank = processes.count(), processes.rank()
        if count == 1:
            yield make(stack.enter_context(Manifest(path)))
            return
        if path is None and rank == 0:
            path = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "manifest"
        path = processes.of_first(path)
        assert path is not None
        if rank:
            processes.barrier()
            own = _share(path, rank)
            if path.exists():
                part = own.with_name(own.name + ".part")
                shutil.copyfile(path, part)  # Locked, and so at rest: what it knows is not captioned again.
                part.replace(own)
            with Manifest(own) as manifest:
                captioned = make(manifest).share(rank, count)
            processes.totals(captioned)
            yield None
            return
        manifest = stack.enter_context(Manifest(path))
        _join(manifest, path)  # What a killed job has left.
        processes.barrier()
        job = make(manifest)
        (captioned,) = map(int, processes.totals(job.share(rank, count)))
        _join(manifest, path)
        yield job
        job.captioned, job.known = job.captioned + captioned, job.known - captioned


def _share(path: Path, rank: int) -> Path:
    return path.with_name(f"{path.name}.{rank}")


def _join(manifest: Manifest, path: Path) -> None:
    for share in sorted(path.parent.glob(f"{glob.escape(path.name)}.*")):
        if share.suffix[1:].isdecimal():
            manifest.absorb(share)
