"""The sole inference path: pictures -> encoder -> features -> decoder and sampler -> vocabulary -> captions."""

import copy
import math
from collections.abc import Iterable, Iterator, Sequence, Sized
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from captioner.batch import pack_captions
from captioner.checkpoint import load_checkpoint
from captioner.compute import Compute, Device, Precision
from captioner.config import SamplingConfig
from captioner.data.images import stack_images, try_image
from captioner.errors import ImageError
from captioner.model.build import CaptionModel
from captioner.model.encoder import Encoder
from captioner.model.loss import smoothed_cross_entropy
from captioner.parallel import chunked
from captioner.sampling import Hypothesis, Specials, sample
from captioner.text import detokenize
from captioner.vocab import END, PAD, START, UNKNOWN, Vocabulary

SPECIALS = Specials(start=START, end=END, never=(PAD, START, UNKNOWN))
DECODE_AT_ONCE = 128
"""Pictures that are searched at once: each step is a matrix product over all their beams."""

Picture = Path | str | bytes | Image.Image


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
        decoder = copy.deepcopy(model.decoder).to(compute.device, compute.dtype).eval()
        self._model = CaptionModel(model.encoder.for_inference(compute.device, compute.dtype), decoder)
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

    def caption(self, pictures: Sequence[Picture]) -> list[Caption]:
        """Caption files, their bytes or PIL images, in order. Raises ``ImageError`` at one that cannot be read."""
        captions = []
        for result in self.stream(pictures):
            if isinstance(result, ImageError):
                raise result
            captions.append(result)
        return captions

    def stream(self, pictures: Iterable[Picture]) -> Iterator[Caption | ImageError]:
        """Caption any number of pictures in order, in flat memory.

        What cannot be read comes as the ``ImageError`` itself, in its place.
        """
        sources = (Path(picture) if isinstance(picture, str) else picture for picture in pictures)
        # Few pictures are shared out, too.
        share = -(-len(pictures) // self.compute.workers) if isinstance(pictures, Sized) else DECODE_AT_ONCE
        groups = chunked(sources, min(max(1, share), DECODE_AT_ONCE))
        for group in self.compute.in_order(self._caption_group, groups):
            yield from group

    def _caption_group(self, sources: Sequence[Path | bytes | Image.Image]) -> list[Caption | ImageError]:
        images = [try_image(source, self.encoder.transform) for source in sources]
        pixels = (image for image in images if isinstance(image, Tensor))
        features = [self.encode(stack_images(part)) for part in chunked(pixels, self.compute.pictures_at_once)]
        captions = iter(self.caption_features(torch.cat(features)) if features else [])
        return [next(captions)[0] if isinstance(image, Tensor) else image for image in images]

    @torch.inference_mode()
    def encode(self, pixels: Tensor) -> Tensor:
        """Pictures (B, 3, H, W), uint8 -> features (B, P, D)."""
        return self._model.features(pixels.to(self.compute.device))

    @torch.inference_mode()
    def caption_features(self, features: Tensor, sampling: SamplingConfig | None = None) -> list[list[Caption]]:
        """Features (B, P, D) or pixels (B, 3, H, W) -> the captions of each picture, best first.

        ``sampling`` replaces the captioner's own, for this call.
        """
        encoded = self._model.features(features.to(self.compute.device))
        found = sample(self._model.decoder, encoded, SPECIALS, sampling or self.sampling)
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
