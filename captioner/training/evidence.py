"""The batch at which training has diverged, saved to be looked at: JSON for people, tensors for programs."""

import json
from collections.abc import Callable
from pathlib import Path

from safetensors.torch import save as save_tensors

from captioner import processes
from captioner.batch import Batch
from captioner.checkpoint.index import INDEX
from captioner.config import Config
from captioner.errors import TrainingError
from captioner.files import atomic_write, write_text
from captioner.training.optimisation import Diverged
from captioner.vocab import PAD, Vocabulary

_TENSORS = ("images", "image_of", "inputs", "targets")


def stop_at(
    batch: Batch,
    diverged: Diverged,
    place: tuple[int, int],
    name: Callable[[int], str],
    vocabulary: Vocabulary,
    config: Config,
    run: Path,
) -> TrainingError:
    """Save ``batch``, which stands at ``place``: epoch and number; returns what to tell. All processes take part.

    ``bad-batch/batch.json`` has its pictures, by ``name``, and captions; ``tensors-RANK.safetensors`` has the share
    of each process. Raises ``StorageError``.
    """
    captions: list[list[str]] = [[] for _ in batch.numbers]
    rows = batch.rows
    for row, image in enumerate(batch.image_of.tolist()):
        words = [word for word in batch.targets[rows == row].tolist() if word != PAD]
        captions[image].append(" ".join(vocabulary.decode(words[:-1])))
    described = [
        {"file": name(number), "finite": bool(image.isfinite().all()), "captions": several}
        for number, image, several in zip(batch.numbers, batch.images, captions, strict=True)
    ]
    tensors = save_tensors({part: getattr(batch, part).contiguous() for part in _TENSORS})
    shares = processes.gather((described, tensors) if batch.words else ([], b""))
    folder, (epoch, number) = run / "bad-batch", place
    if processes.is_first():
        pictures = list(processes.merge(several for several, _ in shares))
        figures = {"epoch": epoch, "batch": number, "loss": f"{diverged.loss}", "gradient": f"{diverged.norm}"}
        write_text(folder / "batch.json", json.dumps({**figures, "pictures": pictures}, indent=2) + "\n")
        for rank, (_, share) in enumerate(shares):
            with atomic_write(folder / f"tensors-{rank}.safetensors") as file:
                file.write(share)
    processes.barrier()  # Who leaves first is taken for dead.
    rate, last = config.training.learning_rate, run / "last"
    checkpoint, or_that = "", ""
    if (last / INDEX).is_file():
        checkpoint = f"; the checkpoint before it is {last}"
        or_that = f"; to go on from that checkpoint: --set training.begin_with={last}"
    return TrainingError(
        f"training diverged at batch {number} of epoch {epoch}, which is saved in {folder}: {diverged}{checkpoint}",
        f"begin a new run with training.learning_rate below {rate:g}{or_that}",
    )
