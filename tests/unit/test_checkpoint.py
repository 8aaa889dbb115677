"""A checkpoint gives back the same model, runs no code, and says what is wrong with a damaged one."""

import errno
import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from captioner.checkpoint.description import describe, in_words
from captioner.checkpoint.reading import load_checkpoint, load_training_state, save_checkpoint
from captioner.config import Config, SamplingConfig
from captioner.errors import CaptionerError, CheckpointError, StorageError
from captioner.model.backbones import build_backbone
from captioner.model.build import CaptionModel, build_decoder, build_encoder
from captioner.predictor import Captioner
from captioner.vocab import Vocabulary

PROVENANCE = {
    "captioner": "0.1.0",
    "torch": "2",
    "torchvision": "0",
    "dataset": {"name": "some", "pictures": {"train": 1}},
    "precision": "float32",
    "log_row": {"epoch": 3, "val_CIDEr": 0.123456},
}
VOCABULARY = Vocabulary.build([["a", "dog", "runs"], ["a", "cat"]], min_count=1)


def config_of(decoder: dict[str, Any] | None = None, **encoder: Any) -> Config:
    settings = {"backbone": "resnet18", "weights": "none", "image_size": 64, **encoder}
    decoder = {"embedding_size": 6, "hidden_size": 7, "attention_size": 5, **(decoder or {})}
    return Config.model_validate(
        {"dataset": {"format": "shapes", "root": "data"}, "encoder": settings, "decoder": decoder}
    )


def model_of(config: Config, seed: int = 0) -> CaptionModel:
    torch.manual_seed(seed)
    encoder = build_encoder(config.encoder)
    _, size = encoder.feature_shape()
    return CaptionModel(encoder, build_decoder(config.decoder, size, len(VOCABULARY))).eval()


def same(one: CaptionModel, other: CaptionModel) -> bool:
    states = one.state_dict(), other.state_dict()
    return states[0].keys() == states[1].keys() and all(torch.equal(states[0][k], states[1][k]) for k in states[0])


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoint") / "best"
    config = config_of()
    training = {"optimizer": {"state": {0: torch.ones(2)}}, "position": {"step": 5, "best": -float("inf")}}
    save_checkpoint(folder, model_of(config), VOCABULARY, config, PROVENANCE, training=training)
    return folder


@pytest.fixture
def copy(saved: Path, tmp_path: Path) -> Path:
    """A checkpoint of one's own, to damage."""
    return Path(shutil.copytree(saved, tmp_path / "copy"))


def refusal(act: Callable[[], object], kind: type[CaptionerError] = CheckpointError) -> tuple[str, str]:
    with pytest.raises(kind) as caught:
        act()
    assert caught.value.exit_status == 1
    return caught.value.problem, caught.value.remedy


def file_of(folder: Path, part: str) -> Path:
    return folder / json.loads((folder / "checkpoint.json").read_text())["files"][part]


def edit_index(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    index = json.loads((folder / "checkpoint.json").read_text())
    change(index)
    (folder / "checkpoint.json").write_text(json.dumps(index))


def test_everything_comes_back(saved: Path) -> None:
    loaded = load_checkpoint(saved)
    assert same(loaded.model, model_of(config_of()))
    assert not loaded.model.training
    assert loaded.vocabulary.words == VOCABULARY.words
    assert loaded.config == config_of()
    assert loaded.provenance == PROVENANCE
    assert loaded.folder == saved


def test_the_run_s_folder_means_its_best_checkpoint(saved: Path) -> None:
    assert load_checkpoint(saved.parent).folder == saved


def test_captions_are_identical_after_a_round_trip(tiny_run: Path, tmp_path: Path, shapes: Path) -> None:
    pictures = sorted((shapes / "images").iterdir())[:6]
    first = Captioner.load(tiny_run, precision="float32")
    checkpoint = load_checkpoint(tiny_run)
    save_checkpoint(
        tmp_path / "copy", checkpoint.model, checkpoint.vocabulary, checkpoint.config, checkpoint.provenance
    )
    second = Captioner.load(tmp_path / "copy", precision="float32")
    assert second.caption(pictures) == first.caption(pictures)
    assert all(caption.words for caption in first.caption(pictures))


def test_training_state_comes_back(saved: Path) -> None:
    state = load_training_state(saved)
    assert state["position"] == {"step": 5, "best": -float("inf")}
    assert torch.equal(state["optimizer"]["state"][0], torch.ones(2))


def test_a_checkpoint_without_training_state_cannot_be_resumed(tmp_path: Path) -> None:
    config = config_of()
    save_checkpoint(tmp_path / "best", model_of(config), VOCABULARY, config, PROVENANCE)
    assert refusal(lambda: load_training_state(tmp_path)) == (
        f"{tmp_path}/best holds no training state",
        "resume from a run's directory, which has 'last'",
    )


def test_no_checkpoint(tmp_path: Path) -> None:
    remedy = "give a run's directory (captioner train --run DIR) or a checkpoint's, such as DIR/best"
    assert refusal(lambda: load_checkpoint(tmp_path)) == (f"{tmp_path} holds no checkpoint", remedy)
    (tmp_path / "model.json").write_text("{}")
    assert refusal(lambda: load_checkpoint(tmp_path)) == (f"{tmp_path} is an exported model", remedy)
    assert refusal(lambda: load_checkpoint(tmp_path / "x")) == (f"{tmp_path}/x is not there", remedy)
    (tmp_path / "file").touch()
    assert refusal(lambda: load_checkpoint(tmp_path / "file")) == (f"{tmp_path}/file is a file", remedy)


def test_a_run_before_its_first_epoch_s_end_and_a_folder_of_runs(tmp_path: Path) -> None:
    config = config_of()
    for place in ("new/last", "runs/second/best", "runs/third/best"):
        save_checkpoint(tmp_path / place, model_of(config), VOCABULARY, config, PROVENANCE)
    assert refusal(lambda: load_checkpoint(tmp_path / "new")) == (
        f"{tmp_path}/new has no finished epoch yet",
        f"go on training it with --resume, or name {tmp_path}/new/last",
    )
    load_checkpoint(tmp_path / "new" / "last")
    assert refusal(lambda: load_checkpoint(tmp_path / "runs")) == (
        f"{tmp_path}/runs is no run, but holds some",
        f"name one of them, such as {tmp_path}/runs/second",
    )


def test_missing_vocabulary(copy: Path) -> None:
    file = file_of(copy, "vocabulary")
    file.unlink()
    assert refusal(lambda: load_checkpoint(copy)) == (
        f"{copy} lacks its vocabulary ({file.name})",
        "copy the whole directory: the weights mean nothing without the words they belong to",
    )


def test_vocabulary_of_another_model(copy: Path) -> None:
    file = file_of(copy, "vocabulary")
    file.write_text(Vocabulary.build([["a", "fish", "swims", "far"]], min_count=1).to_json())
    assert refusal(lambda: load_checkpoint(copy)) == (
        f"{file} is damaged",
        "copy it again, or use another checkpoint",
    )


def test_another_version(copy: Path) -> None:
    edit_index(copy, lambda index: index.update(version=1))
    expected = (
        f"{copy} was written in checkpoint version 1, and this captioner reads version 2",
        "install the captioner version that wrote it (checkpoint.json names it), or train again",
    )
    assert refusal(lambda: load_checkpoint(copy)) == expected
    assert refusal(lambda: describe(copy)) == expected


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '"text"', "\udcff"], ids=repr)
def test_damaged_index(copy: Path, content: str) -> None:
    (copy / "checkpoint.json").write_bytes(content.encode("utf-8", "surrogateescape"))
    expected = (f"{copy}/checkpoint.json is damaged", "use another checkpoint, or train again")
    assert refusal(lambda: load_checkpoint(copy)) == expected
    assert refusal(lambda: describe(copy)) == expected


@pytest.mark.parametrize("key", ["files", "vocabulary", "features", "encoder", "config", "provenance"])
def test_index_without_one_of_its_parts(copy: Path, key: str) -> None:
    edit_index(copy, lambda index: index.pop(key))
    assert refusal(lambda: load_checkpoint(copy))[0] == f"{copy}/checkpoint.json is damaged"
    assert refusal(lambda: describe(copy))[0] == f"{copy}/checkpoint.json is damaged"


def test_index_with_an_unknown_setting(copy: Path) -> None:
    edit_index(copy, lambda index: index["config"].update(new_section={}))
    assert f"{copy}" in refusal(lambda: load_checkpoint(copy))[0]


@pytest.mark.parametrize("part", ["encoder", "decoder"])
@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "text"])
def test_damaged_weights(copy: Path, part: str, damage: str) -> None:
    path = file_of(copy, part)
    data = path.read_bytes()
    middle = len(data) // 2
    damaged = {
        "cut": data[:middle],
        "flipped": data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :],
        "empty": b"",
        "text": b"<html>not found</html>",
    }
    path.write_bytes(damaged[damage])
    assert refusal(lambda: load_checkpoint(copy)) == (
        f"{path} is damaged",
        "copy it again, or use another checkpoint",
    )


@pytest.mark.parametrize("part", ["encoder", "decoder"])
def test_missing_weights(copy: Path, part: str) -> None:
    path = file_of(copy, part)
    path.unlink()
    assert refusal(lambda: load_checkpoint(copy)) == (
        f"{copy} lacks {path.name}",
        "copy the whole directory, or use another checkpoint",
    )


def test_weights_that_do_not_fit_the_config(copy: Path) -> None:
    edit_index(copy, lambda index: index["config"]["decoder"].update(hidden_size=8))
    problem, remedy = refusal(lambda: load_checkpoint(copy))
    assert problem.startswith(f"the weights in {copy} do not fit its configuration: size mismatch for ")
    assert remedy == "use another checkpoint"


class Bomb:
    """Unpickling this makes a folder."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.mkdir, (str(self.mark),)


def disguise(folder: Path, part: str, data: bytes) -> None:
    """Replace a part by ``data``, under a name that has the right hash."""
    import hashlib

    path = file_of(folder, part)
    name = f"{path.name.rpartition('-')[0]}-{hashlib.sha256(data).hexdigest()[:16]}{path.suffix}"
    (folder / name).write_bytes(data)
    edit_index(folder, lambda index: index["files"].update({part: name}))


@pytest.mark.parametrize("wrapped", [False, True], ids=["pickle", "torch.save"])
@pytest.mark.parametrize("part", ["encoder", "decoder", "training"])
def test_loading_runs_no_code(copy: Path, tmp_path: Path, part: str, wrapped: bool) -> None:
    mark = tmp_path / "exploded"
    bomb = {"optimizer": Bomb(mark), "weight": Bomb(mark)}
    if wrapped:
        torch.save(bomb, tmp_path / "bomb")
        data = (tmp_path / "bomb").read_bytes()
    else:
        data = pickle.dumps(bomb)
    disguise(copy, part, data)
    load: Callable[[Path], object] = load_training_state if part == "training" else load_checkpoint
    problem, _ = refusal(lambda: load(copy))
    assert problem == f"{file_of(copy, part)} is damaged"
    assert not mark.exists()


def default_state(seed: int = 7) -> dict[str, torch.Tensor]:
    torch.manual_seed(seed)
    state: dict[str, torch.Tensor] = build_backbone("resnet18").state_dict()
    return state


@pytest.fixture
def no_download(monkeypatch: pytest.MonkeyPatch) -> None:
    """torchvision's weights cost a download: these stand for them."""
    monkeypatch.setattr("captioner.model.encoder.default_weights", lambda name: default_state())


@pytest.mark.usefixtures("no_download")
class TestDefaultWeights:
    def test_are_named_only(self, tmp_path: Path) -> None:
        config = config_of(weights="default")
        model = model_of(config)
        save_checkpoint(tmp_path, model, VOCABULARY, config, PROVENANCE)
        assert not list(tmp_path.glob("encoder*"))
        assert sum(file.stat().st_size for file in tmp_path.iterdir()) < 100_000
        index = json.loads((tmp_path / "checkpoint.json").read_text())
        assert index["encoder"]["weights_hash"] == model.encoder.weights_hash()
        assert same(load_checkpoint(tmp_path).model, model)
        assert describe(tmp_path)["encoder"]["weights"] == (
            f"not stored: torchvision's default, hash {model.encoder.weights_hash()}"
        )

    def test_are_stored_when_asked_for(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        config = config_of(weights="default", keep=True)
        model = model_of(config)
        save_checkpoint(tmp_path, model, VOCABULARY, config, PROVENANCE)
        monkeypatch.setattr("captioner.model.encoder.default_weights", None)  # Nobody asks for them any more.
        assert same(load_checkpoint(tmp_path).model, model)

    def test_are_stored_when_they_were_trained(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        config = config_of(weights="default", fine_tune="layer4")
        model = model_of(config)
        save_checkpoint(tmp_path, model, VOCABULARY, config, PROVENANCE)
        monkeypatch.setattr("captioner.model.encoder.default_weights", None)
        assert same(load_checkpoint(tmp_path).model, model)

    def test_that_torchvision_has_changed_are_refused(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        config = config_of(weights="default")
        save_checkpoint(tmp_path, model_of(config), VOCABULARY, config, PROVENANCE)
        monkeypatch.setattr("captioner.model.encoder.default_weights", lambda name: default_state(8))
        assert refusal(lambda: load_checkpoint(tmp_path)) == (
            f"torchvision's default weights of resnet18 are not those that {tmp_path} was trained with",
            "install the torchvision version that its checkpoint.json names",
        )


def full_disk(monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    """From the ``after``-th file on, there is no space left."""
    real, count = os.fsync, 0

    def fsync(handle: int) -> None:
        nonlocal count
        count += 1
        if count > after:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(handle)

    monkeypatch.setattr(os, "fsync", fsync)


@pytest.mark.parametrize("after", range(4))
def test_an_interrupted_save_leaves_the_old_checkpoint(copy: Path, after: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four files are new, the words are not; whichever of them does not fit, the old model can still be loaded."""
    config = config_of()
    full_disk(monkeypatch, after)
    training = {"position": {"step": 6}}
    problem, remedy = refusal(
        lambda: save_checkpoint(copy, model_of(config, 1), VOCABULARY, config, PROVENANCE, training=training),
        StorageError,
    )
    assert problem.startswith(f"no space left on the device while writing {copy}/")
    assert remedy == (
        "free some space, or choose a folder on another disk, and run the same command again, train with --resume: "
        "finished work stays"
    )
    assert not list(copy.glob("*.part"))
    assert not list(copy.glob(".*"))
    monkeypatch.undo()
    loaded = load_checkpoint(copy)
    assert same(loaded.model, model_of(config))
    assert loaded.vocabulary.words == VOCABULARY.words
    assert load_training_state(copy)["position"]["step"] == 5


def test_an_interrupted_save_with_other_words_leaves_the_old_ones(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = config_of()
    full_disk(monkeypatch, after=3)  # Two weights' files and the vocabulary fit.
    other = Vocabulary.build([["a", "fish", "swims", "far"]], min_count=1)
    refusal(lambda: save_checkpoint(copy, model_of(config, 1), other, config, PROVENANCE), StorageError)
    monkeypatch.undo()
    assert load_checkpoint(copy).vocabulary.words == VOCABULARY.words


@pytest.mark.parametrize("own", [True, False])
def test_default_weights_are_named_only_while_they_are_those(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own: bool
) -> None:
    weights = build_backbone("resnet18").state_dict()
    monkeypatch.setattr("captioner.model.encoder.default_weights", lambda name: weights)
    config = config_of(weights="default")
    model = model_of(config)
    if not own:  # As a run that begins with another, whose encoder was trained.
        model.encoder.load_state_dict({name: 2 * tensor for name, tensor in model.encoder.state_dict().items()})
    save_checkpoint(tmp_path, model, VOCABULARY, config, PROVENANCE)
    assert bool(list(tmp_path.glob("encoder-*.safetensors"))) is not own
    assert same(load_checkpoint(tmp_path).model, model)


def test_a_new_save_replaces_the_old_files(copy: Path) -> None:
    before = set(copy.iterdir())
    config = config_of()
    model = model_of(config, seed=1)
    save_checkpoint(copy, model, VOCABULARY, config, PROVENANCE)
    assert same(load_checkpoint(copy).model, model)
    files = json.loads((copy / "checkpoint.json").read_text())["files"]
    assert {file.name for file in copy.iterdir()} == {"checkpoint.json", *files.values()}
    assert len(files) == 3
    assert file_of(copy, "decoder") not in before


def test_saving_where_one_may_not_write(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    config = config_of()
    problem, remedy = refusal(
        lambda: save_checkpoint(tmp_path / "file" / "best", model_of(config), VOCABULARY, config, PROVENANCE),
        StorageError,
    )
    assert problem.startswith(f"cannot write {tmp_path}/file/best/decoder-")
    assert problem.endswith(f": {tmp_path}/file is a file")
    assert remedy == "name a folder in its place"


def test_description_says_what_is_inside(saved: Path, tmp_path: Path) -> None:
    sections = describe(saved)
    # What training pictures told of features counts, too.
    parameters = sum(tensor.numel() for tensor in model_of(config_of()).decoder.state_dict().values())
    size = sum(file.stat().st_size for file in saved.iterdir())
    assert sections["checkpoint"] == {"directory": str(saved), "version": 2, "bytes": size}
    assert sections["encoder"] == {
        "backbone": "resnet18",
        "weights": file_of(saved, "encoder").name,
        "fine-tuned": False,
        "picture": {"resize": 64, "crop": 64},
        "features": {"positions": 4, "size": 512},
    }
    assert sections["decoder"] == {"type": "attention", "hidden size": 7, "parameters": parameters}
    for decoder, said in (
        ({"type": "lstm"}, "lstm (first)"),
        ({"type": "transformer", "layers": 3, "heads": 7}, "transformer (3 layers)"),
        ({"type": "transformer", "layers": 1, "heads": 7}, "transformer (1 layer)"),
    ):
        config = config_of(decoder)
        save_checkpoint(tmp_path / said, model_of(config), VOCABULARY, config, PROVENANCE)
        assert describe(tmp_path / said)["decoder"]["type"] == said
    assert sections["vocabulary"] == {"words": 8, "fingerprint": VOCABULARY.fingerprint}
    assert sections["training"] == {
        "data": "some",
        "pictures": {"train": 1},
        "epoch": 3,
        "val CIDEr": 0.1235,
        "precision": "float32",
        "versions": {"captioner": "0.1.0", "torch": "2", "torchvision": "0"},
    }


def test_description_in_words_for_people() -> None:
    bins = [{"confidence": 0.114, "accuracy": 0.1, "captions": 1200}]
    sections = {
        "checkpoint": {"bytes": 41_044_278, "version": 2},
        "encoder": {"picture": {"resize": 64, "crop": 48}, "features": {"positions": 4, "size": 512}},
        "decoder": {"parameters": 7_985_135},
        "sampling": SamplingConfig(method="sample", beam_size=7, banned_words=["a", "of"]).model_dump(),
        "confidence": {"means": "...", "error": 0.03, "bins": bins},
        "training": {
            "data": "some",
            "pictures": {"train": 6000, "val": 10},
            "versions": {"torch": "2"},
        },
    }
    assert in_words(sections) == {
        "checkpoint": {"size": "41 MB", "version": "2"},
        "encoder": {"picture": "shorter side to 64, centre 48x48", "features": "4 positions of 512"},
        "decoder": {"parameters": "7,985,135"},
        "sampling": {
            **{"method": "sample", "max_length": "20", "length_penalty": "1.0", "temperature": "1.0"},
            **{"top_k": "0", "top_p": "1.0", "seed": "1", "banned_words": "a, of"},
        },
        "confidence": {
            "means": "...",
            "error": "0.030 (expected calibration error, cross-validated)",
            "bin 1": "says 11%; of 1,200 captions 10% are right",
        },
        "training": {"data": "some", "pictures": "train 6,000, val 10", "versions": "torch 2"},
    }
