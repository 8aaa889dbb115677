"""The Python API: pictures of every kind give one caption, streams are lazy, fingerprints tell models apart."""

import dataclasses
import io
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from captioner import Captioner, predictor
from captioner.checkpoint.reading import load_checkpoint
from captioner.compute import Compute
from captioner.config import DecoderConfig, EncoderConfig, SamplingConfig
from captioner.errors import ImageError, UsageError
from captioner.model.build import CaptionModel, build_decoder, build_encoder
from captioner.model.ensemble import together
from captioner.predictor import Caption


@pytest.fixture(scope="module")
def captioner(tiny_run: Path) -> Captioner:
    return Captioner.load(tiny_run, device="cpu", precision="float32")


@pytest.fixture(scope="module")
def files(shapes: Path) -> list[Path]:
    return sorted((shapes / "images").glob("*.png"))[:20]


@pytest.mark.parametrize(
    ("given", "refusal"),
    [
        ({"device": "gpu"}, "there is no device 'gpu'\nchoose one of auto, cpu, cuda"),
        ({"precision": "half"}, "there is no precision 'half'\nchoose one of auto, float32, bfloat16"),
    ],
)
def test_what_is_no_device_or_precision(tiny_run: Path, given: Any, refusal: str) -> None:
    with pytest.raises(UsageError) as caught:
        Captioner.load(tiny_run, **given)
    assert str(caught.value) == refusal


@pytest.mark.parametrize("sampling", ["beam", {"method": "beam"}])
def test_what_is_no_sampling(tiny_run: Path, sampling: Any) -> None:
    with pytest.raises(TypeError, match=r"^give a SamplingConfig as sampling"):
        Captioner.load(tiny_run, sampling=sampling)


def test_pictures_of_every_kind(captioner: Captioner, files: list[Path]) -> None:
    file = files[4]
    with Image.open(file) as opened:
        image = opened.convert("RGB")
    array = np.asarray(image)
    tensor = torch.from_numpy(array.copy()).permute(2, 0, 1)
    stream = io.BytesIO()
    image.save(stream, "PNG")
    pictures = [file, str(file), file.read_bytes(), stream.getvalue(), image, array, tensor]
    captions = captioner.caption(pictures)
    assert len({caption.text for caption in captions}) == 1
    assert [caption.log_prob for caption in captions] == pytest.approx([captions[0].log_prob] * 7, abs=1e-4)
    assert captioner.caption(np.stack([array, array]))[1].text == captions[0].text  # type: ignore[arg-type]


def test_what_cannot_be_read(captioner: Captioner, files: list[Path], tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="no such file"):
        captioner.caption([files[0], tmp_path / "none.jpg"])
    results = list(captioner.stream([files[0], b"no picture", np.zeros((4, 4), np.uint8), files[1]]))
    assert [type(result) for result in results] == [Caption, ImageError, ImageError, Caption]
    assert isinstance(results[2], ImageError)
    assert results[2].problem == "an array must be (H, W, 3), uint8 from 0 to 255; this one is (4, 4), uint8"


ONE = [*("a.jpg", Path("a.jpg"), b"bytes"), Image.new("RGB", (9, 9)), np.zeros((9, 9, 3), np.uint8), 3]


@pytest.mark.parametrize("one", ONE, ids=lambda one: type(one).__name__)
def test_one_picture_that_is_no_list(captioner: Captioner, one: object) -> None:
    with pytest.raises(TypeError, match=r"give a list of pictures, \["):
        captioner.caption(one)  # type: ignore[arg-type]


def test_what_is_no_picture_is_named(captioner: Captioner, files: list[Path]) -> None:
    with pytest.raises(ImageError) as caught:
        captioner.caption([files[0], 3])  # type: ignore[list-item]
    known = "a path, bytes, a PIL image, an array or a tensor"
    assert caught.value.problem == f"picture 1: a picture must be {known}; this one is of type int"
    assert caught.value.remedy == "leave it out, or use stream(), which goes on"
    with pytest.raises(ImageError, match=r"^none\.jpg: no such file\nleave it out, or use stream\(\), which goes on$"):
        captioner.caption([files[0], "none.jpg"])
    with pytest.raises(ImageError, match=r"^none\.jpg: no such file"):
        captioner.caption(name for name in [files[0], "none.jpg"])
    assert len(captioner.caption(iter(files[:2]))) == len(captioner.caption(dict.fromkeys(files[:2]).keys())) == 2


def test_a_caption_shows_its_text() -> None:
    caption = Caption(("a", "dog", "runs"), -4.0)
    assert repr(caption) == "Caption('A dog runs', confidence=0.3679, log_prob=-4.0000)"


def test_a_stream_reads_no_further_than_some_groups_ahead(captioner: Captioner, files: list[Path]) -> None:
    taken = 0

    def endless() -> Iterator[Path]:
        nonlocal taken
        while True:
            taken += 1
            yield files[taken % 5]

    stream = captioner.stream(endless())
    several = [next(stream) for _ in range(5)]
    assert taken == 128 * 2 * captioner.compute.workers
    stream.close()  # type: ignore[attr-defined]
    expected = captioner.caption([files[number % 5] for number in range(1, 6)])
    assert [one.words for one in several if isinstance(one, Caption)] == [one.words for one in expected]


def test_a_caption_does_not_depend_on_its_group_in_float32(captioner: Captioner, files: list[Path]) -> None:
    together = captioner.caption(files)
    alone = [captioner.caption([file])[0] for file in files]
    assert [caption.words for caption in together] == [caption.words for caption in alone]


def test_the_fingerprint(tiny_run: Path, captioner: Captioner) -> None:
    checkpoint = load_checkpoint(tiny_run)
    compute = Compute.choose("cpu", "float32")

    def fingerprint(sampling: SamplingConfig, compute: Compute = compute) -> str:
        return Captioner(checkpoint.model, checkpoint.vocabulary, sampling, compute).fingerprint

    sampling = checkpoint.config.sampling
    same = captioner.fingerprint
    assert len(same) == 16
    assert fingerprint(sampling) == same
    found = {same, fingerprint(sampling.model_copy(update={"beam_size": 3}))}
    found.add(fingerprint(sampling, Compute(torch.device("cpu"), torch.bfloat16)))
    with torch.no_grad():
        next(checkpoint.model.decoder.parameters()).view(-1)[0] += 1e-3
    found.add(fingerprint(sampling))
    checkpoint.model.encoder.grid = 1
    found.add(fingerprint(sampling))
    assert len(found) == 5


def test_the_fingerprint_covers_every_model_of_an_ensemble(tiny_run: Path, captioner: Captioner) -> None:
    checkpoint = load_checkpoint(tiny_run)
    first, second = load_checkpoint(tiny_run).model, checkpoint.model

    def fingerprint(*members: CaptionModel) -> str:
        model = together(members)
        return Captioner(model, checkpoint.vocabulary, checkpoint.config.sampling, captioner.compute).fingerprint

    found = {captioner.fingerprint, fingerprint(first, second)}
    second.encoder.transform = dataclasses.replace(second.encoder.transform, interpolation="bicubic")
    found.add(fingerprint(first, second))
    with torch.no_grad():
        next(second.encoder.parameters()).mul_(1.01)
    found.add(fingerprint(first, second))
    assert len(found) == 4
    assert fingerprint(first, second) in found


def test_the_fingerprint_covers_settings_that_no_weight_shows(captioner: Captioner) -> None:
    """A transformer's heads change what it says, and nothing in its weights."""
    encoder = build_encoder(EncoderConfig(backbone="mobilenet_v3_small", weights="none", image_size=64))
    found = set()
    for heads in (2, 4):
        torch.manual_seed(0)
        config = DecoderConfig(type="transformer", hidden_size=16, heads=heads, layers=1)
        decoder = build_decoder(config, encoder.feature_shape()[1], len(captioner.vocabulary))
        model = CaptionModel(encoder, decoder)
        found.add(Captioner(model, captioner.vocabulary, captioner.sampling, captioner.compute).fingerprint)
    assert len(found) == 2


def test_confidence_comes_from_the_checkpoint(tiny_run: Path, captioner: Captioner, files: list[Path]) -> None:
    """The calibration is fitted to the validation captions of the epoch that was kept, and other copies have none."""
    checkpoint = load_checkpoint(tiny_run)
    assert checkpoint.calibration is not None
    assert sum(each.captions for each in checkpoint.calibration.bins) == 8
    assert checkpoint.calibration.sampling == checkpoint.config.sampling.model_dump()
    (caption,) = captioner.caption(files[:1])
    assert caption.confidence == checkpoint.calibration(caption.score)
    assert load_checkpoint(tiny_run / "last").calibration is None
    (plain,) = Captioner.load(tiny_run / "last", device="cpu").caption(files[:1])
    assert plain.confidence == pytest.approx(math.exp(plain.log_prob / (len(plain.words) + plain.finished)))


def test_captions_are_the_same_where_memory_suffices_for_few_pictures(
    captioner: Captioner, files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = captioner.caption(files)
    small = Captioner(captioner._model, captioner.vocabulary, captioner.sampling, captioner.compute)  # type: ignore[arg-type]
    encode, sample = small._model.features, predictor.sample
    most = {"encoded": 0, "searched": 0}

    def features(images: Tensor) -> Tensor:
        if images.dim() == 4:
            if len(images) > 3:
                raise torch.OutOfMemoryError("CUDA out of memory")
            most["encoded"] = max(most["encoded"], len(images))
        return encode(images)

    def search(decoder: Any, features: Tensor, *arguments: Any, **options: Any) -> Any:
        if len(features) > 6:
            raise RuntimeError("[enforce fail at alloc_cpu.cpp:119] DefaultCPUAllocator: can't allocate memory")
        most["searched"] = max(most["searched"], len(features))
        return sample(decoder, features, *arguments, **options)

    monkeypatch.setattr(small._model, "features", features)
    monkeypatch.setattr(predictor, "sample", search)
    found = small.caption(files)
    assert [one.words for one in found] == [one.words for one in expected]
    assert [one.log_prob for one in found] == pytest.approx([one.log_prob for one in expected], abs=1e-5)
    assert 0 < most["encoded"] <= 3
    assert 0 < most["searched"] <= 6
