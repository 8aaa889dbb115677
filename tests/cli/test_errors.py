"""Whatever a user gets wrong is told in two lines, with the right exit status, and never as a traceback."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torchvision import models

MEND = "mend my.yaml or the --set values, and try again"


@pytest.fixture
def flickr(tmp_path: Path) -> Path:
    """A data set whose captions are good and whose pictures are empty files."""
    root = tmp_path / "data"
    (root / "Images").mkdir(parents=True)
    for name in "abcd":
        (root / "Images" / f"{name}.jpg").touch()
    lines = [f"{name}.jpg#{number}\tA dog runs {number} times ." for name in "abcd" for number in range(2)]
    (root / "Flickr8k.token.txt").write_text("\n".join(lines) + "\n")
    return root


@pytest.fixture
def config(flickr: Path, tmp_path: Path) -> Path:
    path = tmp_path / "my.yaml"
    path.write_text(f"dataset:\n  format: flickr\n  root: {flickr}\nencoder:\n  backbone: resnet18\n  weights: none\n")
    return path


def assert_refused(finished: Any, status: int, *lines: str) -> None:
    """The first line says what is wrong, the last one what to do."""
    assert finished.err.splitlines() == [f"error: {lines[0]}", *(f"       {line}" for line in lines[1:])]
    assert finished.out == ""
    assert finished.status == status


def test_a_data_set_that_is_not_there(cli: Any, config: Path, tmp_path: Path) -> None:
    for command in (["vocab"], ["preprocess"], ["train", "--run", tmp_path / "run"]):
        assert_refused(
            cli(*command, "--config", config, "--set", "dataset.root=/nowhere/Flickr8k"),
            1,
            "the data set's folder /nowhere/Flickr8k does not exist",
            "name its folder: --set dataset.root=FOLDER ('captioner download' fetches a known data set)",
        )
    assert not (tmp_path / "run").exists()


# Some line numbers between colons are also the names of signs, such as :100:, which must not be shown instead.
@pytest.mark.parametrize("number", [3, 100, 1234])
def test_a_captions_file_with_a_broken_line(cli: Any, config: Path, flickr: Path, number: int) -> None:
    captions = flickr / "Flickr8k.token.txt"
    lines = [f"a.jpg#{index}\tA dog ." for index in range(1300)]
    lines[number - 1] = "a.jpg A dog without a tab"
    captions.write_text("\n".join(lines))
    assert_refused(
        cli("vocab", "--config", config),
        1,
        f"{captions}:{number}: expected 'picture#number<TAB>caption', found 'a.jpg A dog without a tab'",
        "mend that line, and try again",
    )


def test_photos_missing_for_some_captions(cli: Any, config: Path, flickr: Path) -> None:
    (flickr / "Images" / "b.jpg").unlink()
    (flickr / "Images" / "d.jpg").unlink()
    assert_refused(
        cli("vocab", "--config", config),
        1,
        f"2 of 4 pictures with captions not found in {flickr}/Images: b.jpg, d.jpg",
        "put them there, or go on without them: --set dataset.allow_missing=true",
    )
    allowed = cli(
        "vocab", "--config", config, "--set", "dataset.allow_missing=true", "--set", "dataset.test_fraction=0",
        "--set", "vocab.min_count=1",
    )  # fmt: skip
    assert allowed.status == 0
    assert "warning: 2 pictures missing on the disk, left out: b.jpg, d.jpg" in allowed.err.splitlines()


def test_a_caption_without_words(cli: Any, config: Path, flickr: Path) -> None:
    file = flickr / "Flickr8k.token.txt"
    file.write_text(file.read_text() + "".join(f"{name}.jpg#2\t...\n" for name in "abcd"))
    assert_refused(
        cli("vocab", "--config", config, "--set", "dataset.val_fraction=0.25", "--set", "dataset.test_fraction=0"),
        1,
        "3 training pictures with a caption that has no word: b.jpg, c.jpg, d.jpg",
        "write or delete it: the model would learn to say nothing",
    )


@pytest.mark.parametrize("command", ["vocab", "train"])
def test_no_word_is_frequent_enough(cli: Any, config: Path, command: str) -> None:
    """Before any features are computed."""
    assert_refused(
        cli(command, "--config", config, "--set", "dataset.test_fraction=0", "--set", "vocab.min_count=50"),
        1,
        "no word occurs 50 times in the training captions, so the vocabulary would be empty",
        "lower vocab.min_count: --set vocab.min_count=1",
    )


def test_nothing_to_validate_on(cli: Any, config: Path, flickr: Path) -> None:
    assert_refused(
        cli("train", "--config", config, "--set", "dataset.val_fraction=0", "--set", "dataset.test_fraction=0"),
        1,
        f"{flickr}/Flickr8k.token.txt: no pictures in the split 'val', by which the best epoch is chosen",
        "give it some by dataset.split_lists or, where splits are drawn, by dataset.val_fraction",
    )


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("evaluate", "--model", "run", "--report", "folder"), "--report: 'folder' is a folder"),
        (("compare", "a", "b", "--gallery", "folder"), "--gallery: 'folder' is a folder"),
        (("train", "--config", "c.yaml", "--run", "file"), "--run: 'file' is a file"),
        (("export", "run", "--output", "file"), "--output: 'file' is a file"),
        (("caption", "a.jpg", "--model", "run", "--attention", "file"), "--attention: 'file' is a file"),
        (("quickstart", "--folder", "file"), "--folder: 'file' is a file"),
    ],
)
def test_a_file_where_a_folder_belongs_and_the_other_way(
    cli: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], problem: str
) -> None:
    """At once, and not after all the work."""
    monkeypatch.chdir(tmp_path)
    Path("folder").mkdir()
    Path("file").touch()
    finished = cli(*words)
    assert (finished.status, finished.err.splitlines()[0]) == (2, f"error: {problem}")


def test_a_file_on_the_way(cli: Any, config: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    output = tmp_path / "file" / "words.json"
    finished = cli("vocab", "--config", config, "--set", "vocab.min_count=1", "--output", output)
    assert finished.status == 1
    assert finished.err.splitlines()[-2:] == [
        f"error: cannot write {output}: {tmp_path}/file is a file",
        "       name a folder in its place",
    ]


def test_an_unknown_backbone(cli: Any, config: Path) -> None:
    assert_refused(
        cli("preprocess", "--config", config, "--set", "encoder.backbone=resnet5"),
        2,
        "there is no backbone 'resnet5', did you mean 'resnet50'?",
        "set encoder.backbone to one of torchvision's classification models, such as resnet50 or mobilenet_v2",
    )


def test_a_state_dict_of_another_model(cli: Any, config: Path, tmp_path: Path) -> None:
    weights = tmp_path / "mobilenet.pth"
    torch.save(models.mobilenet_v3_small().state_dict(), weights)
    assert_refused(
        cli("preprocess", "--config", config, "--set", f"encoder.weights={weights}"),
        1,
        f"{weights} is not a state dict of resnet18: 120 of 120 tensors are missing (first 'conv1.weight')",
        "set encoder.backbone to the model that these weights were saved from, or encoder.weights to another file",
    )


def test_weights_that_are_not_there(cli: Any, config: Path, tmp_path: Path) -> None:
    assert_refused(
        cli("preprocess", "--config", config, "--set", f"encoder.weights={tmp_path}/no.pth"),
        1,
        f"there is no file of encoder weights at {tmp_path}/no.pth",
        "set encoder.weights to a state dict's path, to 'default' (torchvision's) or to 'none' (random)",
    )


def test_a_config_of_another_version(cli: Any, config: Path) -> None:
    config.write_text("version: 3\n" + config.read_text())
    assert_refused(
        cli("train", "--config", config),
        2,
        f"{config}:1: this config has version 3, and this captioner reads version 1",
        "write it anew for version 1 (examples/ shows how), or install the captioner it was made for",
    )


def test_several_mistakes_in_a_config(cli: Any, config: Path) -> None:
    config.write_text(config.read_text() + "decoder:\n  typ: lstm\n")
    assert_refused(
        cli("train", "--config", config, "--set", "training.epochs=0"),
        2,
        f"{config}:8: unknown key 'decoder.typ', did you mean 'type'?",
        "--set training.epochs=0: training.epochs: expected greater than 0, found 0",
        f"mend {config} or the --set values, and try again",
    )


def test_a_config_that_is_not_there(cli: Any, tmp_path: Path) -> None:
    assert_refused(
        cli("train", "--config", tmp_path / "none.yaml"),
        2,
        f"cannot read the config {tmp_path}/none.yaml: No such file or directory",
        "give the path of a YAML file, as examples/ has them",
    )


def copied(run: Path, to: Path) -> Path:
    return Path(shutil.copytree(run / "best", to))


def test_a_checkpoint_without_its_vocabulary(cli: Any, tiny_run: Path, tmp_path: Path, shapes: Path) -> None:
    model = copied(tiny_run, tmp_path / "model")
    (file,) = model.glob("vocabulary-*.json")
    file.unlink()
    picture = shapes / "images" / "000000.png"
    for arguments in (["caption", picture, "--model", model], ["evaluate", "--model", model], ["inspect", model]):
        assert_refused(
            cli(*arguments),
            1,
            f"{model} lacks its vocabulary ({file.name})",
            "copy the whole directory: the weights mean nothing without the words they belong to",
        )


def test_a_checkpoint_of_another_version(cli: Any, tiny_run: Path, tmp_path: Path) -> None:
    model = copied(tiny_run, tmp_path / "model")
    index = json.loads((model / "checkpoint.json").read_text())
    (model / "checkpoint.json").write_text(json.dumps({**index, "version": 9}))
    assert_refused(
        cli("inspect", model),
        1,
        f"{model} was written in checkpoint version 9, and this captioner reads version 2",
        "install the captioner version that wrote it (checkpoint.json names it), or train again",
    )


def test_a_model_that_is_not_there(cli: Any, tmp_path: Path) -> None:
    for arguments in (["caption", "x.jpg", "--model"], ["evaluate", "--model"], ["inspect"]):
        assert_refused(
            cli(*arguments, tmp_path / "none"),
            1,
            f"{tmp_path}/none is not there",
            "give a run's directory (captioner train --run DIR) or a checkpoint's, such as DIR/best",
        )


FULL = (
    "free some space, or choose a folder on another disk, and run the same command again, train with --resume: "
    "finished work stays"
)


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """No space left for files whose folder has a given name."""

    def fill(folder: str) -> None:
        real = os.fsync

        def fsync(handle: int) -> None:
            if Path(f"/proc/self/fd/{handle}").readlink().parent.name == folder:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            real(handle)

        monkeypatch.setattr(os, "fsync", fsync)

    return fill


def test_no_space_left_for_the_checkpoint(
    cli: Any, tiny_file: Path, tmp_path: Path, full_disk: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    full_disk("last")
    finished = cli("train", "--config", tiny_file, "--run", run, "--quiet")
    assert finished.status == 1
    first, second = finished.err.splitlines()
    assert first.startswith(f"error: no space left on the device while writing {run}/last/decoder-")
    assert second == f"       {FULL}"
    assert not list(run.rglob("*.part"))
    monkeypatch.undo()


def test_no_space_left_for_the_features(
    cli: Any, tiny_file: Path, tmp_path: Path, full_disk: Callable[[str], None]
) -> None:
    full_disk("store")
    finished = cli("preprocess", "--config", tiny_file, "--set", f"features.path={tmp_path}/store", "--quiet")
    assert_refused(finished, 1, f"no space left on the device while writing {tmp_path}/store/index.json", FULL)


def test_no_space_left_for_the_captions(
    cli: Any, tiny_run: Path, tmp_path: Path, shapes: Path, full_disk: Callable[[str], None]
) -> None:
    (tmp_path / "out").mkdir()
    output = tmp_path / "out" / "captions.json"
    output.write_text("[]\n")
    full_disk("out")
    finished = cli("caption", shapes / "images/000000.png", "--model", tiny_run, "--output", output, "--quiet")
    assert_refused(finished, 1, f"no space left on the device while writing {output}", FULL)
    assert output.read_text() == "[]\n"
    manifest = output.with_name("captions.json.manifest")  # Finished work stays.
    assert sorted(output.parent.iterdir()) == [output, manifest]


def test_a_run_s_folder_that_is_taken(cli: Any, tiny_file: Path, tiny_run: Path, tmp_path: Path) -> None:
    assert_refused(
        cli("train", "--config", tiny_file, "--run", tiny_run),
        2,
        f"{tiny_run} already holds a run",
        "go on with it by --resume, or choose another --run folder",
    )
    assert_refused(
        cli("train", "--config", tiny_file, "--run", tmp_path / "new", "--resume"),
        2,
        f"there is no run to resume in {tmp_path}/new",
        "leave out --resume to begin one",
    )


def test_resuming_with_other_settings(cli: Any, tiny_file: Path, tiny_run: Path) -> None:
    finished = cli(
        "train", "--config", tiny_file, "--run", tiny_run, "--resume", "--quiet",
        "--set", "training.epochs=3", "--set", "decoder.dropout=0.2",
    )  # fmt: skip
    assert_refused(
        finished,
        2,
        f"{tiny_run} was begun with other settings: decoder.dropout was 0.1, is 0.2; training.epochs was 2, is 3",
        f"resume it with --config {tiny_run}/config.yaml --run {tiny_run}, or begin a new run in another folder",
    )


def test_features_of_another_encoder(cli: Any, tiny_file: Path, tiny_run: Path) -> None:
    store = tiny_file.parent / "features"
    finished = cli("preprocess", "--config", tiny_file, "--set", "encoder.image_size=96", "--quiet")
    assert_refused(
        finished,
        1,
        f"the features in {store} were computed differently: resize was 64, is 96; crop was 64, is 96",
        f"remove {store}, or keep it and choose another: --set features.path=FOLDER",
    )


def test_features_of_an_encoder_that_is_trained(cli: Any, tiny_file: Path) -> None:
    assert_refused(
        cli("preprocess", "--config", tiny_file, "--set", "encoder.fine_tune=features.11"),
        2,
        "this config trains the encoder, so its features change and cannot be computed once",
        "go on with captioner train, or keep the encoder as it is: --set encoder.fine_tune=false",
    )


def test_a_split_that_does_not_exist(cli: Any, tiny_run: Path) -> None:
    finished = cli("evaluate", "--model", tiny_run, "--split", "tset", "--quiet")
    assert finished.status == 1
    first, second = finished.err.splitlines()
    assert first.endswith("shapes.json: no split is called 'tset', did you mean 'test'?")
    assert second == "       choose one of: train (64), val (8), test (8)"


@pytest.mark.parametrize("name", ["train", "Training"])
def test_the_split_that_a_model_was_trained_on(cli: Any, tiny_run: Path, name: str) -> None:
    problem = "models are trained on that split: scores on it say nothing of other pictures"
    assert_refused(
        cli("evaluate", "--model", tiny_run, "--split", name),
        2,
        problem,
        "choose --split val or test, or add --allow-training-split",
    )
    assert_refused(cli("compare", tiny_run, tiny_run, "--split", name), 2, problem, "choose --split val or test")


@pytest.mark.parametrize("sizes", ["0", "1,x", "1,,2", "1.5", "-1"])
def test_beam_sizes_that_are_none(cli: Any, tiny_run: Path, sizes: str) -> None:
    assert_refused(
        cli("evaluate", "--model", tiny_run, f"--beam-sizes={sizes}"),
        2,
        f"--beam-sizes {sizes}: expected whole numbers above 0",
        "for example --beam-sizes 1,3,5",
    )


def test_beam_sizes_with_what_they_do_not_go_with(cli: Any, tiny_run: Path) -> None:
    assert_refused(
        cli("evaluate", "--model", tiny_run, "--per-image", "x.jsonl", "--beam-sizes", "1,3"),
        2,
        "--per-image shows one way of sampling, and --beam-sizes several",
        "leave out --per-image",
    )
    assert_refused(
        cli("evaluate", "--predictions", "p", "--references", "r", "--beam-sizes", "1,3"),
        2,
        "files of captions have no beam for --beam-sizes",
        "leave it out, or score a model",
    )


def test_splits_of_files_of_captions(cli: Any) -> None:
    for option in (["--split", "test"], ["--allow-training-split"]):
        assert_refused(
            cli("evaluate", "--predictions", "p.json", "--references", "r.json", *option),
            2,
            "files of captions have no splits",
            "leave out --split and --allow-training-split",
        )


def test_pictures_that_the_backbone_cannot_see(cli: Any, config: Path) -> None:
    for backbone, side, reason in (
        ("vit_b_32", 200, "Input shape indivisible by patch size!"),
        ("alexnet", 30, "Given input size: (192x2x2). Calculated output size"),
    ):
        words = ["--set", f"encoder.backbone={backbone}", "--set", f"encoder.image_size={side}", "--quiet"]
        finished = cli("preprocess", "--config", config, *words)
        assert finished.status == 1
        assert finished.err.splitlines()[0].startswith(
            f"error: {backbone} cannot see pictures of {side}x{side} pixels: {reason}"
        )


@pytest.mark.parametrize("trained", ["false", "true"])
@pytest.mark.parametrize("broken", [3, 80], ids=["some", "all"])
def test_pictures_that_cannot_be_read_where_missing_ones_are_allowed(
    cli: Any, tiny_file: Path, shapes: Path, tmp_path: Path, trained: str, broken: int
) -> None:
    """They are left out, whether or not the encoder is trained; only where none is left, that is an error."""
    root = Path(shutil.copytree(shapes, tmp_path / "data"))
    for picture in sorted((root / "images").iterdir())[:broken]:
        picture.write_bytes(picture.read_bytes()[:60])
    words = [f"dataset.root={root}", f"features.path={tmp_path}/features", f"encoder.fine_tune={trained}"]
    words += ["dataset.allow_missing=true", "training.epochs=1"]
    settings = [each for word in words for each in ("--set", word)]
    finished = cli("train", "--config", tiny_file, "--run", tmp_path / "run", *settings, "--quiet")
    if broken == 3:
        assert finished.status == 0
        assert "3 pictures cannot be read (000000.png: " in finished.err
        assert (tmp_path / "run" / "best" / "checkpoint.json").exists()
    else:
        assert finished.status == 1
        assert finished.err.splitlines()[-2:] == [
            "error: none of the 64 pictures of train can be read",
            "       mend them, or set dataset.images to the folder of others",
        ]


def test_nothing_to_score(cli: Any, tmp_path: Path) -> None:
    remedy = "give --model FOLDER, or --predictions FILE with --references FILE"
    assert_refused(cli("evaluate"), 2, "nothing to score", remedy)
    for arguments in (["--predictions", "p.json"], ["--model", "m", "--predictions", "p.json"], ["--references", "r"]):
        problem = "--predictions and --references go together, without --model"
        assert_refused(cli("evaluate", *arguments), 2, problem, "score a model, or a file")


@pytest.mark.parametrize(
    ("predictions", "problem", "remedy"),
    [
        ("{}", "{p} is no list", 'write [{{"image_id": ..., "caption": ...}}], as COCO results are'),
        ('[{"image_id": 1}]', "{p}: entry 0 lacks 'image_id' or a text as 'caption'", "each entry needs both"),
        (
            '[{"image_id": 1, "caption": "a"}, {"image_id": 1, "caption": "b"}]',
            "{p}: two captions for image 1",
            "keep one caption for each image",
        ),
        ('\ufeff{"image_id": 1}', "{p} is no list", 'write [{{"image_id": ..., "caption": ...}}], as COCO results are'),
        ("[", "{p} is not JSON: Expecting value: line 1 column 2 (char 1)", "mend it, or write it again"),
        (
            "[]",
            "Images with references but without a caption: 1.",
            "Caption them too, or score against the references of the captioned images only.",
        ),
    ],
)
def test_predictions_of_another_form(cli: Any, tmp_path: Path, predictions: str, problem: str, remedy: str) -> None:
    found, known = tmp_path / "p.json", tmp_path / "r.json"
    found.write_text(predictions)
    known.write_text('{"annotations": [{"image_id": 1, "caption": "a dog"}]}')
    assert_refused(
        cli("evaluate", "--predictions", found, "--references", known), 1, problem.format(p=found), remedy.format()
    )


def test_predictions_of_images_with_strange_ids(cli: Any, tmp_path: Path) -> None:
    found, known = tmp_path / "p.json", tmp_path / "r.json"
    found.write_text('[{"image_id": [1], "caption": "a"}]')
    known.write_text('{"annotations": [{"image_id": 1, "caption": "a dog"}]}')
    finished = cli("evaluate", "--predictions", found, "--references", known)
    assert finished.status == 1
    assert finished.err.startswith(f"error: {found}: ")


def test_an_output_of_an_unknown_form(cli: Any, tmp_path: Path) -> None:
    assert_refused(
        cli("caption", "x.jpg", "--model", tmp_path, "--output", "captions.txt"),
        2,
        "cannot tell the format of captions.txt by its suffix",
        "use one of .json, .jsonl, .csv for --output",
    )


def test_a_folder_without_pictures(cli: Any, tiny_run: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert_refused(
        cli("caption", tmp_path / "empty", "--model", tiny_run),
        2,
        f"no pictures in {tmp_path}/empty",
        "name files or folders; --recursive also looks into sub-folders",
    )


def test_debug_shows_the_traceback(cli: Any, tmp_path: Path) -> None:
    from captioner.errors import CheckpointError

    with pytest.raises(CheckpointError):
        cli("--debug", "inspect", tmp_path)


def test_an_unknown_option_is_a_usage_error(cli: Any) -> None:
    finished = cli("train", "--confg", "x")
    assert finished.status == 2
    assert "--confg" in finished.err


def test_ctrl_c_while_features_are_computed(
    cli: Any, tiny_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import captioner.preprocess

    encode, calls = captioner.preprocess.encode_pixels, 0

    def interrupted(*arguments: Any) -> torch.Tensor:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise KeyboardInterrupt
        return encode(*arguments)

    arguments = ["preprocess", "--config", tiny_file, "--set", f"features.path={tmp_path}/store"]
    with monkeypatch.context() as patch:
        patch.setattr(captioner.preprocess, "encode_pixels", interrupted)
        finished = cli(*arguments, "--quiet")
    assert_refused(finished, 130, "interrupted", "the same command goes on where it stopped")
    again = cli(*arguments)
    assert again.status == 0
    assert f"computing features of 56 of 64 pictures of train into {tmp_path}/store" in again.err.splitlines()


def test_ctrl_c_while_training(tiny_file: Path, tiny_run: Path, tmp_path: Path) -> None:
    """A real process, a real signal: it saves, says how to go on, and goes on."""
    run = tmp_path / "run"
    command = [sys.executable, "-m", "captioner", "train", "--config", str(tiny_file), "--run", str(run)]
    for setting in ("training.epochs=8", "training.patience=8", "training.batch_size=2"):
        command += ["--set", setting]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        seen = []
        for line in process.stderr:
            seen.append(line)
            if "epoch 2: loss" in line:
                process.send_signal(signal.SIGINT)
                break
        rest = process.stderr.read()
    assert process.returncode == 130, "".join(seen) + rest
    problem, remedy = rest.splitlines()[-2:]
    assert problem in {
        f"error: interrupted in epoch {epoch}; everything so far is saved in {run}  [Interrupted]"
        for epoch in range(3, 9)
    }
    assert remedy == "       the same command with --resume goes on from here"
    assert "Traceback" not in rest

    again = subprocess.run([*command, "--resume"], capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    rows = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows] == list(range(1, 9))
    assert [row["step"] for row in rows] == [32 * epoch for epoch in range(1, 9)]


READ = "sampling.*, training.device, training.precision"


@pytest.mark.parametrize(
    ("command", "settings", "read", "place"),
    [
        ("caption x.jpg", ["training.epochs=5"], READ, "train"),
        ("caption x.jpg", ["dataset.root=x", "features.path=y"], READ, "evaluate and compare"),
        ("serve --port 0", ["vocab.min_count=3"], READ, "train"),
        ("evaluate", ["decoder.layers=2", "dataset.root=x"], f"{READ}, dataset.*, features.*", "train"),
    ],
)
def test_settings_without_effect(
    cli: Any, tiny_run: Path, command: str, settings: list[str], read: str, place: str
) -> None:
    given = [word for setting in ["sampling.beam_size=2", *settings] for word in ("--set", setting)]
    idle = settings if place != "train" else settings[:1]
    finished = cli(*command.split(), "--model", tiny_run, *given, "--quiet")
    assert_refused(
        finished,
        2,
        f"no effect here: {', '.join(f'--set {setting}' for setting in idle)}",
        f"a trained model takes {read}; the rest is for captioner {place}",
    )


def test_settings_that_score_may_say(cli: Any, tiny_run: Path, tmp_path: Path) -> None:
    given = [
        "dataset.allow_missing=true",
        "training.precision=float32",
        f"features.path={tmp_path}",
        "sampling.length_penalty=0",
    ]
    words = [word for setting in given for word in ("--set", setting)]
    assert cli("evaluate", "--model", tiny_run, *words, "--quiet").status == 0


@pytest.mark.parametrize("words", ["evaluate --predictions p.json --references r.json", "compare a b --references r"])
def test_settings_of_no_model(cli: Any, words: str) -> None:
    refusal = "no effect on files of captions: --set sampling.seed=2, --set training.epochs=5"
    finished = cli(*words.split(), "--set", "sampling.seed=2", "--set", "training.epochs=5")
    assert_refused(finished, 2, refusal, "leave it out, or score a model")
