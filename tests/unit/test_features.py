"""Features are computed once, survive interruption, and are never mixed with those of another encoder."""

import json
import os
import pickle
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

import captioner.preprocess
from captioner.compute import Compute
from captioner.config import EncoderConfig, FeaturesConfig
from captioner.data.features import FeatureStore, Picture, StoreKey
from captioner.data.images import load_image
from captioner.data.pictures import PictureFiles, StoredPictures
from captioner.errors import DatasetError, FeatureError
from captioner.events import Event, Note, Warned
from captioner.model.build import build_encoder
from captioner.model.encoder import Encoder
from captioner.preprocess import fill_store, open_store

COMPUTE = Compute(torch.device("cpu"), torch.float32)


def encoder_of(seed: int = 0, backbone: str = "resnet18", **settings: object) -> Encoder:
    torch.manual_seed(seed)
    values = {"backbone": backbone, "weights": "none", "image_size": 64, **settings}
    return build_encoder(EncoderConfig.model_validate(values))


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return encoder_of()


@pytest.fixture
def files(shapes: Path, tmp_path: Path) -> list[Path]:
    """Forty pictures of one's own: more than one batch."""
    folder = tmp_path / "data" / "images"
    folder.mkdir(parents=True)
    for file in sorted((shapes / "images").iterdir())[:40]:
        shutil.copy(file, folder)
    return sorted(folder.iterdir())


def store_of(tmp_path: Path, encoder: Encoder, flip: bool = False) -> FeatureStore:
    return open_store(FeaturesConfig(path=str(tmp_path / "store"), flip=flip), encoder)


def fill(store: FeatureStore, encoder: Encoder, files: list[Path], **options: bool) -> tuple[int, list[Event]]:
    events: list[Event] = []
    return fill_store(store, encoder, files, files[0].parents[1], COMPUTE, events.append, **options), events


def live(encoder: Encoder, file: Path, mirrored: bool = False) -> Tensor:
    """What the encoder itself says of one picture."""
    pixels = load_image(file, encoder.transform)
    with torch.no_grad():
        return encoder((pixels.flip(-1) if mirrored else pixels).unsqueeze(0))[0]


def small_shards(monkeypatch: pytest.MonkeyPatch, pictures: int) -> None:
    monkeypatch.setattr("captioner.data.features._SHARD_BYTES", pictures * 2 * 4 * 512)


def close(found: np.ndarray, expected: Tensor) -> None:
    """float16 at rest: eleven bits."""
    torch.testing.assert_close(torch.from_numpy(np.array(found)).float(), expected, rtol=1e-3, atol=1e-3)


def test_stored_features_are_those_of_live_encoding(
    encoder: Encoder, files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_shards(monkeypatch, 32)
    store = store_of(tmp_path, encoder)
    done, _ = fill(store, encoder, files)
    assert done == len(store) == 40
    assert len(list((tmp_path / "store").glob("*.bin"))) == 2
    again = store_of(tmp_path, encoder)
    pictures = StoredPictures(again, files, files[0].parents[1])
    order = [39, 0, 17, 33, 17]
    for row, index in zip(pictures.read(order), order, strict=True):
        assert row.dtype == torch.float16
        close(row.numpy(), live(encoder, files[index]))


def test_the_mirror_image_is_the_second_view(encoder: Encoder, files: list[Path], tmp_path: Path) -> None:
    store = store_of(tmp_path, encoder, flip=True)
    fill(store, encoder, files[:5])
    pictures = StoredPictures(store, files[:5], files[0].parents[1])
    assert pictures.view_bits == 1
    for index, (plain, mirrored) in enumerate(
        zip(pictures.read(range(5)), pictures.read(range(5), [1] * 5), strict=True)
    ):
        close(plain.numpy(), live(encoder, files[index]))
        close(mirrored.numpy(), live(encoder, files[index], mirrored=True))
    mixed = pictures.read([0, 1], [1, 0])
    close(mixed[0].numpy(), live(encoder, files[0], mirrored=True))
    close(mixed[1].numpy(), live(encoder, files[1]))


def test_pixels_and_stored_features_are_of_the_same_pictures(encoder: Encoder, files: list[Path]) -> None:
    pictures = PictureFiles(files, encoder.transform, flip=True)
    pixels = pictures.read([3, 1], [0, 1])
    assert torch.equal(pixels[0], load_image(files[3], encoder.transform))
    assert torch.equal(pixels[1], load_image(files[1], encoder.transform).flip(-1))


def ramps(side: int) -> Image.Image:
    """Red rises from left to right, green from top to bottom, from 0 to 255."""
    ramp = np.linspace(0, 255, side).round().astype(np.uint8)
    red, green = np.meshgrid(ramp, ramp)
    return Image.fromarray(np.stack([red, green, np.zeros_like(red)], axis=2))


def test_parts_of_pictures_are_as_large_as_asked_for_and_anywhere(encoder: Encoder, tmp_path: Path) -> None:
    ramps(encoder.transform.crop).save(tmp_path / "ramps.png")
    pictures = PictureFiles([tmp_path / "ramps.png"], encoder.transform, flip=True, smallest_crop=0.5)
    assert pictures.view_bits > 1
    drawn = random.Random(1)
    views = [drawn.getrandbits(pictures.view_bits) for _ in range(300)]
    parts = pictures.read([0] * 300, views)
    assert torch.equal(parts, pictures.read([0] * 300, views))
    red, green = parts[:, 0].float().mean(1), parts[:, 1].float().mean(2)  # (300, columns) and (300, rows).
    columns, rows = (red[:, -1] - red[:, 0]) / 255, (green[:, -1] - green[:, 0]) / 255
    assert 0.4 < float((columns < 0).float().mean()) < 0.6  # Mirrored.
    assert bool((rows > 0).all())
    columns = columns.abs()
    areas, shapes = columns * rows, columns / rows
    assert 0.45 < float(areas.min()) < 0.55
    assert 0.9 < float(areas.max()) <= 1
    assert 0.7 < float(shapes.min()) < 0.85
    assert 1.2 < float(shapes.max()) < 1.45
    left, top = torch.minimum(red[:, 0], red[:, -1]), green[:, 0]
    assert float(left.min()) < 5
    assert float(left.max()) > 50
    assert float(top.min()) < 5
    assert float(top.max()) > 50
    unmirrored = PictureFiles([tmp_path / "ramps.png"], encoder.transform, False, smallest_crop=0.5, part_side=16)
    parts = unmirrored.read([0] * 50, views[:50])
    assert parts.shape == (50, 3, 16, 16)
    red = parts[:, 0].float().mean(1)
    assert bool((red[:, 0] < red[:, -1]).all())
    assert torch.equal(unmirrored.read([0])[0], load_image(tmp_path / "ramps.png", encoder.transform))


def test_as_many_pictures_as_have_room_are_decoded_once(
    encoder: Encoder, files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("captioner.data.pictures._KEPT_BYTES", 2 * 3 * encoder.transform.crop**2 + 1)
    copies = [Path(shutil.copy(file, tmp_path)) for file in files[:3]]
    pictures = PictureFiles(copies, encoder.transform, flip=True)
    first = pictures.read([2, 0, 1], [0, 1, 0])
    for copy in copies:
        copy.unlink()
    assert torch.equal(
        pictures.read([0, 2, 0], [1, 1, 0]), torch.stack([first[1], first[0].flip(-1), first[1].flip(-1)])
    )
    with pytest.raises(DatasetError, match="no such file"):
        pictures.read([0, 1])


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many pictures the encoder was given each time; a negative limit interrupts it then."""
    seen: list[int] = []
    real = captioner.preprocess.encode_pixels

    def counted(encoder: Encoder, pixels: Tensor, compute: Compute, flip: bool = False) -> Tensor:
        seen.append(len(pixels))
        return real(encoder, pixels, compute, flip)

    monkeypatch.setattr(captioner.preprocess, "encode_pixels", counted)
    return seen


def test_a_second_run_does_nothing(encoder: Encoder, files: list[Path], tmp_path: Path, calls: list[int]) -> None:
    fill(store_of(tmp_path, encoder), encoder, files)
    assert calls == [8, 8, 8, 8, 8]
    before = {file: file.stat().st_mtime_ns for file in (tmp_path / "store").iterdir()}
    done, events = fill(store_of(tmp_path, encoder), encoder, files)
    assert calls == [8, 8, 8, 8, 8]
    assert done == 0
    assert events == [Note(f"features of all 40 pictures are in {tmp_path}/store")]
    assert {file: file.stat().st_mtime_ns for file in (tmp_path / "store").iterdir()} == before


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_an_interrupted_run_goes_on_where_it_stopped(
    encoder: Encoder, files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    real, count = captioner.preprocess.encode_pixels, 0

    def failing(*arguments: object) -> Tensor:
        nonlocal count
        count += 1
        if count == 4:
            raise error
        return real(*arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(captioner.preprocess, "encode_pixels", failing)
        with pytest.raises(error):
            fill(store_of(tmp_path, encoder), encoder, files)
    done, events = fill(store_of(tmp_path, encoder), encoder, files)
    assert done == 16
    assert events[0] == Note(f"computing features of 16 of 40 pictures into {tmp_path}/store")
    store = store_of(tmp_path, encoder)
    pictures = StoredPictures(store, files, files[0].parents[1])
    for index in (0, 23, 24, 39):
        close(pictures.read([index])[0].numpy(), live(encoder, files[index]))


def test_a_killed_run_loses_at_most_its_last_shard(
    encoder: Encoder, files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that is killed while a shard is written leaves its numbers without their names, or a part of them."""
    small_shards(monkeypatch, 16)
    fill(store_of(tmp_path, encoder), encoder, files)
    store = tmp_path / "store"
    assert len(list(store.glob("*.bin"))) == 3
    last = max(store.glob("*.bin"))
    last.with_suffix(".json").unlink()
    last.write_bytes(last.read_bytes()[:1000])
    (store / f".{last.name}-abc.part").write_bytes(b"part")
    again = store_of(tmp_path, encoder)
    assert len(again) == 32
    done, _ = fill(again, encoder, files)
    assert done == 8
    pictures = StoredPictures(store_of(tmp_path, encoder), files, files[0].parents[1])
    for index in (0, 20, 35):
        close(pictures.read([index])[0].numpy(), live(encoder, files[index]))


def test_two_jobs_that_fill_one_store_keep_their_features_apart(
    encoder: Encoder, files: list[Path], tmp_path: Path
) -> None:
    root = files[0].parents[1]
    one, other = (store_of(tmp_path, encoder) for _ in range(2))
    fill(one, encoder, files[:3])
    fill(other, encoder, files[3:5])
    for store, first, last in ((one, 0, 3), (other, 3, 5), (store_of(tmp_path, encoder), 0, 5)):
        for file in files[first:last]:
            close(StoredPictures(store, [file], root).read([0])[0].numpy(), live(encoder, file))


def test_new_pictures_are_added_to_old_ones(encoder: Encoder, files: list[Path], tmp_path: Path) -> None:
    fill(store_of(tmp_path, encoder), encoder, files[:10])
    done, _ = fill(store_of(tmp_path, encoder), encoder, files)
    assert done == 30


def test_a_changed_picture_is_computed_anew(encoder: Encoder, files: list[Path], tmp_path: Path) -> None:
    store = store_of(tmp_path, encoder)
    fill(store, encoder, files)
    Image.open(files[3]).convert("L").resize((70, 70)).save(files[3])
    assert Picture.of(files[3], files[0].parents[1]) not in store
    done, _ = fill(store, encoder, files)
    assert done == 1
    pictures = StoredPictures(store_of(tmp_path, encoder), files, files[0].parents[1])
    close(pictures.read([3])[0].numpy(), live(encoder, files[3]))


def test_a_data_set_may_be_moved(encoder: Encoder, files: list[Path], tmp_path: Path) -> None:
    fill(store_of(tmp_path, encoder), encoder, files)
    moved = files[0].parents[1].rename(tmp_path / "elsewhere")
    done, _ = fill(store_of(tmp_path, encoder), encoder, sorted((moved / "images").iterdir()))
    assert done == 0


def refusal(act: Callable[[], object]) -> tuple[str, str]:
    with pytest.raises(FeatureError) as caught:
        act()
    return caught.value.problem, caught.value.remedy


def remedy(tmp_path: Path) -> str:
    return f"remove {tmp_path}/store, or keep it and choose another: --set features.path=FOLDER"


def test_another_encoder_is_refused(encoder: Encoder, tmp_path: Path) -> None:
    store_of(tmp_path, encoder)
    other = encoder_of(backbone="mobilenet_v3_small")
    assert refusal(lambda: store_of(tmp_path, other)) == (
        f"the features in {tmp_path}/store were computed differently: backbone was resnet18, is mobilenet_v3_small; "
        f"weights was {encoder.weights_hash()}, is {other.weights_hash()}",
        remedy(tmp_path),
    )


def test_other_weights_are_refused(encoder: Encoder, tmp_path: Path) -> None:
    store_of(tmp_path, encoder)
    other = encoder_of(seed=1)
    assert refusal(lambda: store_of(tmp_path, other)) == (
        f"the features in {tmp_path}/store were computed differently: "
        f"weights was {encoder.weights_hash()}, is {other.weights_hash()}",
        remedy(tmp_path),
    )


def test_another_grid_size_or_view_is_refused(encoder: Encoder, tmp_path: Path) -> None:
    store_of(tmp_path, encoder)
    before = f"the features in {tmp_path}/store were computed differently: "
    assert refusal(lambda: store_of(tmp_path, encoder_of(grid=1)))[0] == f"{before}grid was None, is 1"
    assert refusal(lambda: store_of(tmp_path, encoder_of(image_size=96)))[0] == (
        f"{before}resize was 64, is 96; crop was 64, is 96"
    )
    assert refusal(lambda: store_of(tmp_path, encoder, flip=True))[0] == f"{before}flip was False, is True"


def test_each_encoder_has_a_folder_of_its_own_by_default(
    encoder: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folders = {
        open_store(FeaturesConfig(flip=flip), one).folder
        for one in (encoder, encoder_of(seed=1), encoder_of(grid=1))
        for flip in (False, True)
    }
    assert len(folders) == 6
    assert all(folder.parent == Path("features") and folder.name.startswith("resnet18-") for folder in folders)


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"version": 2, "fingerprint": "x"}', '{"version": 1}'])
def test_a_damaged_index_is_refused(encoder: Encoder, tmp_path: Path, content: str) -> None:
    store_of(tmp_path, encoder)
    (tmp_path / "store" / "index.json").write_text(content)
    problem, way_out = refusal(lambda: store_of(tmp_path, encoder))
    index = tmp_path / "store" / "index.json"
    assert problem in {f"{index} is damaged", f"{index} is not an index that this captioner reads"}
    assert way_out == remedy(tmp_path)


@pytest.mark.parametrize("content", ["{", "[[1]]", "null"])
def test_a_damaged_listing_is_refused(encoder: Encoder, files: list[Path], tmp_path: Path, content: str) -> None:
    fill(store_of(tmp_path, encoder), encoder, files[:2])
    (listing,) = (tmp_path / "store").glob("[0-9]*.json")
    listing.write_text(content)
    assert refusal(lambda: store_of(tmp_path, encoder)) == (f"{listing} is damaged", remedy(tmp_path))


@pytest.mark.parametrize("damage", ["removed", "cut", "emptied", "a picture short"])
def test_a_damaged_shard_is_refused(encoder: Encoder, files: list[Path], tmp_path: Path, damage: str) -> None:
    fill(store_of(tmp_path, encoder), encoder, files[:3])
    (shard,) = (tmp_path / "store").glob("*.bin")
    if damage == "removed":
        shard.unlink()
    else:
        size = shard.stat().st_size
        os.truncate(shard, {"cut": size - 100, "emptied": 0, "a picture short": size * 2 // 3}[damage])
    pictures = StoredPictures(store_of(tmp_path, encoder), files[:3], files[0].parents[1])
    assert refusal(lambda: pictures.read([2])) == (
        f"the features in {shard} are damaged or missing",
        remedy(tmp_path),
    )


def test_pictures_that_cannot_be_read_are_named(encoder: Encoder, files: list[Path], tmp_path: Path) -> None:
    for number in (2, 5, 11, 20):
        files[number].write_bytes(b"broken")
    store = store_of(tmp_path, encoder)
    with pytest.raises(DatasetError) as caught:
        fill(store, encoder, files)
    reason = "not a picture in a format that can be read"
    problem = (
        f"4 pictures cannot be read (000002.png: {reason}; 000005.png: {reason}; 000011.png: {reason}; and 1 more)"
    )
    assert caught.value.problem == problem
    assert caught.value.remedy == "mend or remove them, or go on without: --set dataset.allow_missing=true"
    assert len(store) == 36  # All the others are there.
    done, events = fill(store, encoder, files, allow_unreadable=True)
    assert done == 0
    assert events[-1] == Warned(f"{problem}: left out")


def test_features_beyond_float16_stay_finite(files: list[Path], tmp_path: Path) -> None:
    big = encoder_of()
    last = list(big.stages.values())[-1]
    with torch.no_grad():
        last[-1].bn2.weight.fill_(1e7)
    store = store_of(tmp_path, big)
    fill(store, big, files[:2])
    features = StoredPictures(store, files[:2], files[0].parents[1]).read([0, 1])
    assert torch.isfinite(features).all()
    assert features.max() == 65504


def test_a_store_goes_to_another_process_without_its_maps(encoder: Encoder, files: list[Path], tmp_path: Path) -> None:
    store = store_of(tmp_path, encoder)
    fill(store, encoder, files[:3])
    pictures = [Picture.of(file, files[0].parents[1]) for file in files[:3]]
    before = store.read(pictures)
    data = pickle.dumps(store)
    assert len(data) < 5_000
    np.testing.assert_array_equal(pickle.loads(data).read(pictures), before)


def test_the_index_says_what_it_holds(tmp_path: Path) -> None:
    key = StoreKey({"backbone": "tiny"}, "abc", positions=2, size=3, flip=False)
    store = FeatureStore(tmp_path, key)
    pictures = [Picture(f"{number}.png", 10, number) for number in range(3)]
    numbers = np.arange(18, dtype=np.float16).reshape(3, 1, 2, 3)
    store.append(pictures, [numbers[:2], numbers[2:]])
    index = json.loads((tmp_path / "index.json").read_text())
    assert index == {
        "version": 1,
        "encoder": {"backbone": "tiny"},
        "fingerprint": "abc",
        "positions": 2,
        "size": 3,
        "flip": False,
    }
    again = FeatureStore(tmp_path, key)
    np.testing.assert_array_equal(again.read(pictures[::-1]), numbers[::-1, 0])
