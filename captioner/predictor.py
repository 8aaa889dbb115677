"""The sole inference path: pictures -> encoder -> features -> decoder and sampler -> vocabulary -> captions."""

import math
from collections.abc import Iterable, Iterator, Sequence, Sized
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from captioner.batch import pack_captions
from captioner.calibration import Calibration, doubt
from captioner.caption import Caption as Caption
from captioner.checkpoint.fingerprint import fingerprint_of
from captioner.checkpoint.reading import load_checkpoints
from captioner.compute import Compute, Device, Precision
from captioner.config import SamplingConfig
from captioner.constraints import rules_of
from captioner.data.images import Source, stack_images, try_image
from captioner.errors import ImageError, UsageError
from captioner.memory import Portions
from captioner.model.encoder import Encoder
from captioner.model.ensemble import AnyModel, together
from captioner.parallel import chunked
from captioner.sampling import Hypothesis, StepDecoder, check_number, sample
from captioner.transform import ImageTransform
from captioner.vocab import END, PAD, START, Vocabulary

DECODE_AT_ONCE = 128
"""Pictures that are searched at once, if memory suffices: each step is a matrix product over all their beams."""

Picture = Source | str
"""A file's path, its bytes, a PIL image, a NumPy array (H, W, 3) or a tensor (3, H, W), both uint8 RGB."""


class Captioner:
    """A trained model, ready to caption.

    >>> captioner = Captioner.load("runs/flickr8k")  # doctest: +SKIP
    >>> captioner.caption(["dog.jpg"])[0].text  # doctest: +SKIP
    'A dog runs through the grass'
    """

    def __init__(
        self,
        model: AnyModel,
        vocabulary: Vocabulary,
        sampling: SamplingConfig,
        compute: Compute,
        calibration: Calibration | None = None,
    ) -> None:
        """Take a copy of ``model``, in the precision that ``compute`` chooses; ``calibration`` makes confidence of it.

        Raises ``ConfigError`` where ``sampling`` bans words that ``vocabulary`` does not have.
        """
        self._rules = rules_of(vocabulary, sampling)
        self._model = model.for_inference(compute.device, compute.dtype)
        self.vocabulary = vocabulary
        self.sampling = sampling
        self.compute = compute
        self.calibration = calibration
        self._encoded_at_once, self._searched_at_once = Portions(compute.pictures_at_once), Portions(DECODE_AT_ONCE)

    @classmethod
    def load(
        cls,
        path: str | Path,
        *others: str | Path,
        sampling: SamplingConfig | None = None,
        device: Device = "auto",
        precision: Precision = "auto",
    ) -> "Captioner":
        """Load a run's best checkpoint, or a checkpoint's directory; ``sampling`` replaces what it was trained with.

        With ``others`` it is an ensemble: each next word's probability is the mean of all models'. Raises
        ``CheckpointError`` when one is not there, incomplete or of another version, and ``UsageError`` when their
        vocabularies differ.
        """
        if not isinstance(sampling, SamplingConfig | None):
            raise TypeError("give a SamplingConfig as sampling, such as SamplingConfig(method='beam', beam_size=3)")
        checkpoints = load_checkpoints([Path(each) for each in (path, *others)])
        compute = Compute.choose(device, precision)
        model = together([checkpoint.model for checkpoint in checkpoints])
        first = checkpoints[0]
        return cls(model, first.vocabulary, sampling or first.config.sampling, compute, first.calibration)

    @property
    def encoder(self) -> Encoder:
        """In the precision that captioning uses; its ``transform`` says what is done to a picture first.

        Of an ensemble, the first model's.
        """
        return self._model.encoders[0]

    @property
    def doubt(self) -> str:
        """Why its captions' confidence is not the probability that it says, or nothing."""
        return doubt(self.calibration, self.sampling.method, len(self._model.encoders))

    @cached_property
    def fingerprint(self) -> str:
        """Differs with whatever a caption depends on beside the picture: models, words, sampling, precision."""
        return fingerprint_of(self._model, self.vocabulary, self.sampling, self.compute)

    def caption(self, pictures: Iterable[Picture]) -> list[Caption]:
        """Caption pictures of any kind, in order. Raises ``ImageError``, which names it, at one that cannot be read."""
        given: Any = pictures
        if hasattr(pictures, "__iter__") and not hasattr(pictures, "__getitem__"):
            given = list(pictures)  # An iterator could not be asked again for the one to name.
        captions = []
        for place, result in enumerate(self.stream(given)):
            if isinstance(result, ImageError):
                raise _named(result, given[place], place) from result
            captions.append(result)
        return captions

    def stream(self, pictures: Iterable[Picture]) -> Iterator[Caption | ImageError]:
        """Caption any number of pictures in order, in flat memory; an iterator is read only some groups ahead.

        What cannot be read comes as the ``ImageError`` itself, in its place.
        """
        for result in self.captions(pictures, 1):
            yield result if isinstance(result, ImageError) else result[0]

    def captions(self, pictures: Iterable[Picture], number: int) -> Iterator[list[Caption] | ImageError]:
        """As ``stream``, but at most ``number`` captions of each picture, best first.

        With ``sampling.method=sample`` they are independent draws, which depend on the seed and on the picture's place
        among ``pictures``, and so may be alike. Raises ``UsageError`` where the method does not find so many.
        """
        # An array of three axes is one picture, too, and iterating over it would give its rows.
        if isinstance(pictures, str | bytes | Path) or not hasattr(pictures, "__iter__"):
            shown = repr(pictures) if isinstance(pictures, str | Path) else type(pictures).__name__
            raise TypeError(f"give a list of pictures, [{shown}], even where it is only one")
        if getattr(pictures, "ndim", 4) < 4:
            raise TypeError("give a list of pictures, [array], even where it is only one")
        check_number(self.sampling, number)
        sources = (Path(picture) if isinstance(picture, str) else picture for picture in pictures)
        # Few pictures are shared out, too.
        share = -(-len(pictures) // self.compute.workers) if isinstance(pictures, Sized) else DECODE_AT_ONCE
        groups = chunked(enumerate(sources), min(max(1, share), DECODE_AT_ONCE))
        for group in self.compute.in_order(partial(self._caption_group, number), groups):
            yield from group

    def _caption_group(self, number: int, sources: Sequence[tuple[int, Source]]) -> list[list[Caption] | ImageError]:
        images = [self.read(source) for _, source in sources]
        places = [place for (place, _), image in zip(sources, images, strict=True) if not isinstance(image, ImageError)]
        readable = [image for image in images if not isinstance(image, ImageError)]
        captions = iter(self.caption_images(readable, places, number))
        return [image if isinstance(image, ImageError) else next(captions) for image in images]

    def read(self, source: Source) -> tuple[Tensor, ...] | ImageError:
        """A picture as each member's encoder wants it, for ``caption_images``."""
        transforms = [encoder.transform for encoder in self._model.encoders]
        images: dict[ImageTransform, Tensor] = {}
        for transform in dict.fromkeys(transforms):
            image = try_image(source, transform)
            if isinstance(image, ImageError):
                return image
            images[transform] = image
        return tuple(images[transform] for transform in transforms)

    def caption_images(
        self, images: Sequence[tuple[Tensor, ...]], numbers: Sequence[int], number: int
    ) -> list[list[Caption]]:
        """One group of pictures, as ``read`` gives them -> at most ``number`` captions of each, in this thread.

        ``numbers`` are the pictures' own, by which random draws differ.
        """
        features = self._encoded_at_once.work(
            lambda part: self.encode(tuple(map(stack_images, zip(*part, strict=True)))).unbind(), images
        )
        return self.caption_features(torch.stack(features), numbers=numbers, captions=number) if features else []

    @torch.inference_mode()
    def encode(self, pixels: Tensor | tuple[Tensor, ...]) -> Tensor:
        """Pictures (B, 3, H, W), uint8 -> features (B, P, D); of an ensemble, each member's -> all features, packed."""
        parts = pixels if isinstance(pixels, tuple) else (pixels,)
        return self._model.features(*(part.to(self.compute.device) for part in parts))

    @torch.inference_mode()
    def caption_features(
        self,
        features: Tensor,
        sampling: SamplingConfig | None = None,
        *,
        numbers: Sequence[int] | None = None,
        captions: int = 1,
    ) -> list[list[Caption]]:
        """Features, as ``encode`` gives them -> at most ``captions`` of each picture, best first.

        ``sampling`` replaces the captioner's own, for this call. ``numbers`` are the pictures' own, by which random
        draws differ; by default they are counted from 0.
        """
        encoded = self._model.features(features.to(self.compute.device))
        decoder: StepDecoder[Any] = self._model.decoder
        rules = rules_of(self.vocabulary, sampling) if sampling else self._rules
        numbers = range(len(encoded)) if numbers is None else numbers

        def search(places: Sequence[int]) -> list[list[Hypothesis]]:
            part, own = encoded[places[0] : places[-1] + 1], numbers[places[0] : places[-1] + 1]
            return sample(decoder, part, rules, sampling or self.sampling, numbers=own, captions=captions)

        found = self._searched_at_once.work(search, range(len(encoded)))
        return [[self._caption(hypothesis) for hypothesis in several] for several in found]

    def _caption(self, hypothesis: Hypothesis) -> Caption:
        words = tuple(self.vocabulary.decode(hypothesis.words))
        return Caption(words, hypothesis.log_prob, hypothesis.finished, self.calibration)

    def attention(self, picture: Picture, words: Sequence[str]) -> Tensor:
        """Where the model looks for each of a caption's ``words``: (T, rows, columns), float32; a word's sum to 1.

        Rows and columns divide the square that the first encoder sees of the picture. Raises ``ImageError`` where it
        cannot be read, and ``UsageError`` where the decoder does not look anywhere in particular.
        """
        if isinstance(words, str):
            raise TypeError(f"give a list of words, {words.split()!r:.50}, such as Caption.words")
        images = self.read(Path(picture) if isinstance(picture, str) else picture)
        if isinstance(images, ImageError):
            raise _named(images, picture, 0) from images
        return self.attend_features(self.encode(tuple(stack_images([image]) for image in images)), [words])[0]

    @torch.inference_mode()
    def attend_features(self, features: Tensor, captions: Sequence[Sequence[str]]) -> list[Tensor]:
        """As ``attention``, for features as ``encode`` gives them and a caption, as words, of each picture."""
        encoded = self._model.features(features.to(self.compute.device))
        before = [torch.tensor([START, *self.vocabulary.encode(words[:-1])]) for words in captions]
        weights = self._model.decoder.attention(encoded, pad_sequence(before, batch_first=True).to(encoded.device))
        if weights is None:
            raise UsageError(
                "this model's decoder has no attention: it does not look at parts of a picture",
                "use a model that was trained with decoder.type attention or transformer",
            )
        side = math.isqrt(weights.shape[2])  # Encoders see squares, and divide them into squares.
        maps = weights.cpu().view(*weights.shape[:2], side, side)
        return [several[: len(words)] for several, words in zip(maps, captions, strict=True)]

    @torch.inference_mode()
    def likelihood(self, features: Tensor, captions: Sequence[Sequence[Sequence[int]]]) -> tuple[float, int]:
        """How likely given captions are: the sum of -log p over their words and ends, and how many those are.

        Features as ``encode`` gives them; ``captions[b]`` are image b's, as word indices. Teacher-forced, in float32
        after the decoder.
        """
        batch = pack_captions(features, captions, start=START, end=END).to(self.compute.device)
        log_probs = self._model.target_log_probs(features, batch)
        return -float(log_probs[batch.targets != PAD].double().sum()), batch.words


def _named(error: ImageError, picture: Picture, place: int) -> ImageError:
    """The error with what cannot be read, and what to do."""
    name = str(picture) if isinstance(picture, str | Path) else f"picture {place}"
    return ImageError(f"{name}: {error.problem}", error.remedy or "leave it out, or use stream(), which goes on")
