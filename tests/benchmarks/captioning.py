"""Captioning against the encoder alone, in one run. ``python tests/benchmarks/captioning.py RUN [1000] [3]``.

RUN is a trained run over MobileNetV2; a random decoder would not end its captions as a trained one does. The second
number is the beam, 1 for greedy decoding.
"""

import sys
from pathlib import Path

from machine import Alone, pictures, sampling, seconds

from captioner.checkpoint.reading import load_checkpoint
from captioner.events import ignore
from captioner.folder.job import FolderJob
from captioner.folder.manifest import Manifest
from captioner.loading import load_captioner
from captioner.predictor import Captioner


def main() -> None:
    """Print three rounds of both rates and their ratio."""
    run, count = Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1000
    files, kind = pictures(count)
    beam = int(sys.argv[3]) if len(sys.argv) > 3 else 3
    captioner = load_captioner([run], sampling(beam))
    alone = Alone(load_checkpoint(run).model.encoder, files, captioner.compute)
    print(f"{len(files):,} {kind}; {captioner.encoder.backbone}, beam {beam}, {captioner.compute.precision}")
    caption(captioner, files[:128])
    for _ in range(3):
        before = alone.rates()
        taken = seconds(lambda: caption(captioner, files))
        print(before.mean(alone.rates()).compare(len(files) / taken))


def caption(captioner: Captioner, files: list[Path]) -> None:
    """As the command does it, from files to rows."""
    with Manifest(None) as manifest:
        assert all(not row.error for row in FolderJob(captioner, list(map(str, files)), ignore, manifest).rows())


if __name__ == "__main__":
    main()
