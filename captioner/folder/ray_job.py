"""A captioning job over a Ray cluster: groups of files go to whoever is free, and rows come back in the files' order.

Ray Data, https://docs.ray.io/en/latest/data/data.html. ``RAY_ADDRESS`` names a cluster; without it, Ray starts one on
this machine. Every machine must see the model and the pictures under the same names.
"""

import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from captioner.errors import UsageError
from captioner.events import Listener, Progress, ignore
from captioner.folder.job import FolderJob, Row, Wording
from captioner.folder.manifest import Manifest
from captioner.loading import load_captioner
from captioner.parallel import chunked
from captioner.predictor import DECODE_AT_ONCE


@dataclass(frozen=True)
class Models:
    """What each worker loads."""

    paths: Sequence[Path]
    overrides: Sequence[str]


def check_ray() -> None:
    """Raise ``UsageError`` if Ray is not installed."""
    try:
        import ray.data  # noqa: F401
    except ImportError:
        raise UsageError(
            "--engine ray needs Ray, which is not installed", "install it: pip install 'captioner[ray]'"
        ) from None


class RayJob:
    """One pass over a list of files, as ``FolderJob`` makes it, without a manifest: everything is captioned."""

    def __init__(self, models: Models, files: Sequence[str], listener: Listener, wording: Wording, number: int) -> None:
        self._files = files
        self._listener = listener
        self._order = json.dumps(
            {
                "models": [str(path.resolve()) for path in models.paths],
                "overrides": list(models.overrides),
                "wording": asdict(wording),
                "number": number,
            }
        )
        self.captioned = self.known = self.failed = 0

    def rows(self) -> Iterator[Row]:
        """See ``FolderJob.rows``."""
        import ray.data

        logging.getLogger("ray").setLevel(logging.ERROR)
        ray.init(ignore_reinit_error=True, log_to_driver=False, logging_level=logging.ERROR)
        context = ray.data.DataContext.get_current()
        context.execution_options.preserve_order = True
        context.enable_progress_bars = False
        resources = ray.cluster_resources()
        gpus = int(resources.get("GPU", 0))
        groups = [{"files": json.dumps(part), "order": self._order} for part in chunked(self._files, DECODE_AT_ONCE)]
        workers = min(len(groups), gpus or max(1, int(resources.get("CPU", 1))))
        pool = ray.data.ActorPoolStrategy(min_size=1, max_size=workers)
        found = ray.data.from_items(groups, override_num_blocks=len(groups)).map(
            _Worker, compute=pool, num_cpus=1, num_gpus=1 if gpus else 0
        )
        done = 0
        for answer in found.iter_rows():
            self.captioned += answer["captioned"]
            self.failed += answer["failed"]
            for values in json.loads(answer["rows"]):
                yield Row(**values)
            done += answer["files"]
            self._listener(Progress("captioning", done, len(self._files), "pictures"))


class _Worker:
    """A process of the cluster, which keeps its model."""

    def __init__(self) -> None:
        self._captioner: Any = None

    def __call__(self, group: dict[str, Any]) -> dict[str, Any]:
        order, files = json.loads(group["order"]), json.loads(group["files"])
        if self._captioner is None:
            self._captioner = load_captioner([Path(path) for path in order["models"]], order["overrides"])
        with Manifest(None) as manifest:
            wording = Wording(**order["wording"])
            job = FolderJob(self._captioner, files, ignore, manifest, wording, order["number"])
            rows = json.dumps([row.to_json() for row in job.rows()])
        return {"rows": rows, "files": len(files), "captioned": job.captioned + job.known, "failed": job.failed}
