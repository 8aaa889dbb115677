"""Memory of a folder job. ``python tests/benchmarks/folder_memory.py RUN [3000]``: photos, repeated to N pictures.

Repeats differ in some bytes after the picture's end, so that each is captioned. Printed are present and peak memory at
ten points of a first run, and of a second one, which finds every caption known.
"""

import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from machine import pictures

from captioner.events import ignore
from captioner.folder.inputs import expand_inputs
from captioner.folder.job import FolderJob
from captioner.folder.manifest import Manifest, manifest_path
from captioner.loading import load_captioner
from captioner.predictor import Captioner
from captioner.rows import write_rows


def memory(name: str) -> float:
    """``VmRSS``, now, or ``VmHWM``, the peak, of this process in MB (Linux)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(name))


def main() -> None:
    """Two runs over the same folder."""
    run, count = Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 3000
    photos, kind = pictures(200)
    captioner = load_captioner([run], ["sampling.method=greedy"])
    with tempfile.TemporaryDirectory() as folder:
        for number in range(count):
            repeated = photos[number % len(photos)].read_bytes() + number.to_bytes(4, "big")
            (Path(folder) / f"{number:08d}.jpg").write_bytes(repeated)
        print(f"{count:,} pictures, {len(photos)} {kind} repeated; before: {memory('VmRSS'):.0f} MB")
        for name in ("first run", "second run"):
            files = expand_inputs([folder])
            print(name)
            caption(captioner, files, Path(folder) / "captions.jsonl", points=10)


def caption(captioner: Captioner, files: list[str], output: Path, points: int) -> None:
    """As ``captioner caption --output`` does it, with memory printed on the way."""
    start = time.perf_counter()
    with Manifest(manifest_path(output)) as manifest:
        job = FolderJob(captioner, files, ignore, manifest)

        def watched() -> Iterator[dict[str, Any]]:
            for number, row in enumerate(job.rows(), 1):
                if number % (len(files) // points) == 0:
                    rate = number / (time.perf_counter() - start)
                    now, peak = memory("VmRSS"), memory("VmHWM")
                    print(
                        f"{number:>9,} rows  now {now:,.0f} MB  peak {peak:,.0f} MB  {rate:,.0f} pictures/s", flush=True
                    )
                yield row.to_json()

        write_rows(output, watched())
    print(f"captioned {job.captioned:,}, known {job.known:,}, failed {job.failed:,}")


if __name__ == "__main__":
    main()
