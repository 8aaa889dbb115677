"""The sole inference path: pictures -> encoder -> features -> decoder and sampler -> vocabulary -> captions."""

import copy
import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Sequence, Sized
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from captioner.batch import pack_captions
from captioner.checkpoint import load_checkpoint
from captioner.compute import Compute, Device, Precision
from captioner.config import SamplingConfig
from captioner.data.images import Source, try_image
from captioner.errors import ImageError
from captioner.model.build import CaptionModel
from captioner.model.encoder import Encoder
from captioner.model.loss import smoothed_cross_entropy
from captioner.parallel import chunked, in_order
from captioner.sampling import Hypothesis, Specials, sample
from captioner.text import detokenize
from captioner.vocab import END, PAD, START, UNKNOWN, Vocabulary

SPECIALS = Specials(start=START, end=END, never=(PAD, START, UNKNOWN))
ENCODE_AT_ONCE = 32
"""Pictures that the encoder sees at once: with more, the activations leave a CPU's cache."""
DECODE_AT_ONCE = 128
"""Pictures that are searched at once: each step is a matrix product over all their beams."""

Picture = Source | str
"""A file's path, its bytes, a PIL image, a NumPy array (H, W, 3) or a tensor (3, H, W), both uint8 RGB."""


@dataclass(frozen=True)
class Caption:
    """One caption of one picture."""

    words: tuple[str, ...]
    """Lower-case tokens without punctuation, as the model was trained on and as metrics count them."""
    log_prob: float
    """Natural logarithm of the caption's probability: the sum over its words and its end."""
    finished: bool = True
    """False if the search stopped it at the longest length."""

    @property
    def text(self) -> str:
        """For people: ``A dog runs``. ``captioner.text.detokenize`` can also end it with a full stop."""
        return detokenize(self.words)

    @property
    def confidence(self) -> float:
        """Geometric mean of its words' probabilities, 0 to 1. A ranking, not yet a calibrated probability."""
        return math.exp(self.log_prob / (len(self.words) + self.finished)) if self.words or self.finished else 0.0


class Captioner:
    """A trained model, ready to caption.

    >>> captioner = Captioner.load("runs/flickr8k")  # doctest: +SKIP
    >>> captioner.caption(["dog.jpg"])[0].text  # doctest: +SKIP
    'A dog runs through the grass'
    """

    def __init__(self, model: CaptionModel, vocabulary: Vocabulary, sampling: SamplingConfig, compute: Compute) -> None:
        """Take a copy of ``model``, in the precision that ``compute`` chooses."""
        self._model = copy.deepcopy(model).to(compute.device, compute.dtype).eval()
        self.vocabulary = vocabulary
        self.sampling = sampling
        self.compute = compute

    @classmethod
    def load(
        cls,
        path: str | Path,
        *,
        sampling: SamplingConfig | None = None,
        device: Device = "auto",
        precision: Precision = "auto",
    ) -> "Captioner":
        """Load a run's best checkpoint, or a checkpoint's directory; ``sampling`` replaces what it was trained with.

        Raises ``CheckpointError`` when it is not there, incomplete or of another version.
        """
        checkpoint = load_checkpoint(Path(path))
        compute = Compute.choose(device, precision)
        return cls(checkpoint.model, checkpoint.vocabulary, sampling or checkpoint.config.sampling, compute)

    @property
    def encoder(self) -> Encoder:
        """In the precision that captioning uses; its ``transform`` says what is done to a picture first."""
        return self._model.encoder

    @cached_property
    def fingerprint(self) -> str:
        """Differs with whatever a caption depends on beside the picture: model, words, sampling, precision."""
        model = self._model
        settings = {
            "layers": repr(model),
            "decoder": {name: value for name, value in vars(model.decoder).items() if isinstance(value, str | int)},
            "grid": self.encoder.grid,
            "transform": self.encoder.transform.to_json(),
            "vocabulary": self.vocabulary.fingerprint,
            "sampling": self.sampling.model_dump(),
            "compute": [self.compute.device.type, self.compute.precision],
        }
        digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
        for name, tensor in sorted(model.state_dict().items()):
            digest.update(name.encode())
            digest.update(tensor.float().contiguous().cpu().numpy().data)
        return digest.hexdigest()[:16]

    def caption(self, pictures: Sequence[Picture]) -> list[Caption]:
        """Caption pictures of any kind, in order. Raises ``ImageError`` at the first one that cannot be read."""
        captions = []
        for result in self.stream(pictures):
            if isinstance(result, ImageError):
                raise result
            captions.append(result)
        return captions

    def stream(self, pictures: Iterable[Picture]) -> Iterator[Caption | ImageError]:
        """Caption any number of pictures in order, in flat memory; an iterator is read only some groups ahead.

        What cannot be read comes as the ``ImageError`` itself, in its place.
        """
        if isinstance(pictures, str | bytes | Path):
            raise TypeError(f"give a list of pictures, [{pictures!r:.50}], even where it is only one")
        workers = self.compute.workers
        sources = (Path(picture) if isinstance(picture, str) else picture for picture in pictures)
        # Few pictures are shared out, too.
        share = -(-len(pictures) // workers) if isinstance(pictures, Sized) else DECODE_AT_ONCE
        groups = chunked(sources, min(max(1, share), DECODE_AT_ONCE))
        for group in in_order(self._caption_group, groups, workers=workers):
            yield from group

    def _caption_group(self, sources: Sequence[Source]) -> list[Caption | ImageError]:
        return self.caption_images([try_image(source, self.encoder.transform) for source in sources])

    def caption_images(self, images: Sequence[Tensor | ImageError]) -> list[Caption | ImageError]:
        """One group of pictures as ``load_image`` makes them, or why it could not -> captions, in this thread."""
        pixels = (image for image in images if isinstance(image, Tensor))
        features = [self.encode(torch.stack(list(part))) for part in chunked(pixels, ENCODE_AT_ONCE)]
        captions = iter(self.caption_features(torch.cat(features)) if features else [])
        return [next(captions)[0] if isinstance(image, Tensor) else image for image in images]

    @torch.inference_mode()
    def encode(self, pixels: Tensor) -> Tensor:
        """Pictures (B, 3, H, W), uint8 -> features (B, P, D)."""
        return self._model.features(pixels.to(self.compute.device))

    @torch.inference_mode()
    def caption_features(self, features: Tensor) -> list[list[Caption]]:
        """Features (B, P, D) or pixels (B, 3, H, W) -> the captions of each picture, best first."""
        encoded = self._model.features(features.to(self.compute.device))
        found = sample(self._model.decoder, encoded, SPECIALS, self.sampling)
        return [[self._caption(hypothesis) for hypothesis in several] for several in found]

    @torch.inference_mode()
    def likelihood(self, features: Tensor, captions: Sequence[Sequence[Sequence[int]]]) -> tuple[float, int]:
        """How likely given captions are: the sum of -log p over their words and ends, and how many those are.

        Features (B, P, D); ``captions[b]`` are image b's, as word indices. Teacher-forced, in float32 after the
        decoder.
        """
        batch = pack_captions(features, captions, start=START, end=END).to(self.compute.device)
        decoder = self._model.decoder
        hidden = decoder(features, batch).hidden
        _, loss = smoothed_cross_entropy(hidden, decoder.output_weight, decoder.output_bias, batch.targets, 0.0)
        return float(loss), batch.words

    def _caption(self, hypothesis: Hypothesis) -> Caption:
        words = tuple(self.vocabulary.decode(hypothesis.words))
        return Caption(words, hypothesis.log_prob, hypothesis.finished)
