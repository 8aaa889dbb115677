"""Pictures -> encoder -> feature store: each picture once, resumable, memory flat."""

import hashlib
import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from time import perf_counter

import numpy as np
import torch
from torch import Tensor

from captioner import processes
from captioner.compute import Compute
from captioner.config import FeaturesConfig
from captioner.data.features import Features, FeatureStore, Picture, StoreKey
from captioner.data.images import stack_images, try_image
from captioner.errors import DatasetError, ImageError
from captioner.events import Listener, Note, Progress, Warned
from captioner.memory import return_freed_memory
from captioner.model.encoder import Encoder
from captioner.parallel import chunked, in_order
from captioner.transform import ImageTransform

_Computed = tuple[list[Picture], list[tuple[Path, str]], Features]
"""Of a batch: the pictures that could be read, those that could not and why, and the features of the former."""


def store_key(encoder: Encoder, flip: bool) -> StoreKey:
    """What identifies features of ``encoder``: backbone, weights, grid and transform."""
    description = {
        "backbone": encoder.backbone,
        "weights": encoder.weights_hash(),
        "grid": encoder.grid,
        **encoder.transform.to_json(),
    }
    positions, size = encoder.feature_shape()
    text = json.dumps(description, sort_keys=True)
    return StoreKey(description, hashlib.sha256(text.encode()).hexdigest()[:12], positions, size, flip)


def open_store(config: FeaturesConfig, encoder: Encoder) -> FeatureStore:
    """The store at ``features.path``, or at a path of its own for each encoder. Raises ``FeatureError``."""
    key = store_key(encoder, config.flip)
    views = "-flip" if config.flip else ""
    folder = config.path or f"features/{encoder.backbone}-{key.fingerprint}{views}"
    return FeatureStore(Path(folder), key)


def encode_pixels(encoder: Encoder, pixels: Tensor, compute: Compute, flip: bool = False) -> Tensor:
    """Pictures (B, 3, H, W), uint8 -> features (B, views, P, D), float16, on the CPU."""
    views = [pixels, pixels.flip(-1)] if flip else [pixels]
    with torch.inference_mode():
        parts = [encoder(view.to(compute.device)) for view in views]
        return torch.stack(parts, dim=1).clamp(-65504, 65504).to("cpu", torch.float16)


def fill_store(
    store: FeatureStore,
    encoder: Encoder,
    files: Sequence[Path],
    root: Path,
    compute: Compute,
    listener: Listener,
    allow_unreadable: bool = False,
    split: str = "",
) -> int:
    """Compute what the store lacks of ``files``, together with other processes; returns how many this one computed.

    A second call finds everything there. Raises ``DatasetError`` naming pictures that cannot be read, after all the
    others are stored; with ``allow_unreadable`` it only warns of them. ``split`` is how to call the files.
    """
    pictures = [Picture.of(file, root) for file in files]
    todo = [(file, picture) for file, picture in zip(files, pictures, strict=True) if picture not in store]
    which = f"{len(files):,} pictures" + (f" of {split}" if split else "")
    if not todo:
        listener(Note(f"features of all {which} are in {store.folder}"))
        return 0
    listener(Note(f"computing features of {len(todo):,} of {which} into {store.folder}"))
    unreadable: list[tuple[Path, str]] = []
    fast = encoder.for_inference(compute.device, compute.dtype)

    def compute_features(batch: Sequence[tuple[Path, Picture]]) -> _Computed:
        images = [(file, picture, try_image(file, encoder.transform)) for file, picture in batch]
        failed = [(file, image.problem) for file, _, image in images if isinstance(image, ImageError)]
        read = [(picture, image) for _, picture, image in images if isinstance(image, Tensor)]
        if not read:
            return [], failed, np.empty((0, store.views, store.key.positions, store.key.size), np.float16)
        features = encode_pixels(fast, stack_images([image for _, image in read]), compute, store.key.flip)
        return [picture for picture, _ in read], failed, features.numpy()

    names: list[Picture] = []
    parts: list[Features] = []
    # Shared out in the groups of one process, whose features are then the same to the last bit.
    batches = processes.share(list(chunked(todo, compute.pictures_at_once)))
    own = sum(map(len, batches))
    done, start = 0, perf_counter()
    try:
        for readable, failed, features in compute.in_order(compute_features, batches):
            names += readable
            unreadable += failed
            parts.append(features)
            done += len(readable)
            rate = f"{processes.count() * done / (perf_counter() - start):.0f} pictures/s"
            seen = len(todo) * (done + len(unreadable)) // own  # As if the others were as far.
            listener(Progress("features", seen, len(todo), "pictures", rate))
            if len(names) >= store.shard_size:
                shard, names = names, []
                store.append(shard, parts)
                parts = []
    finally:
        if names and len(names) == sum(map(len, parts)):  # The last shard; or Ctrl-C, after which less is to do.
            store.append(names, parts)
        return_freed_memory()
    found = {file: problem for several in processes.gather(unreadable) for file, problem in several}
    store.open()
    if found:
        _report([(file, found[file]) for file in files if file in found], allow_unreadable, listener)
    return done


def find_unreadable(files: Sequence[Path], transform: ImageTransform, listener: Listener) -> set[Path]:
    """Those that cannot be read, of which it warns: for an encoder in training, which would stop at the first one."""
    own = processes.share(files)
    unreadable = []
    for number, image in enumerate(in_order(partial(try_image, transform=transform), own), 1):
        if isinstance(image, ImageError):
            unreadable.append((own[number - 1], image.problem))
        listener(Progress("pictures looked at", number, len(own), "pictures"))
    found = {file: problem for several in processes.gather(unreadable) for file, problem in several}
    if found:
        _report([(file, found[file]) for file in files if file in found], True, listener)
    return set(found)


def _report(unreadable: list[tuple[Path, str]], allowed: bool, listener: Listener) -> None:
    named = "; ".join(f"{file.name}: {reason}" for file, reason in unreadable[:3])
    more = f"; and {len(unreadable) - 3} more" if len(unreadable) > 3 else ""
    problem = f"{len(unreadable)} pictures cannot be read ({named}{more})"
    if not allowed:
        raise DatasetError(problem, "mend or remove them, or go on without: --set dataset.allow_missing=true")
    listener(Warned(f"{problem}: left out"))
