"""The quickstart: the commands it shows are the ones it runs, and it goes on where it stopped."""

import json
import re
import shlex
import signal
from pathlib import Path
from typing import Any

import pytest

from captioner.configfile import load_config
from captioner.quickstart import CONFIG, steps
from captioner.training.trainer import Trainer

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def pictures(shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Thirty pictures with their captions beside them, in a folder whose name needs quotes."""
    monkeypatch.chdir(tmp_path)
    folder = Path("my pictures")
    folder.mkdir()
    for entry in json.loads((shapes / "shapes.json").read_text())["images"][:30]:
        (folder / entry["filename"]).write_bytes((shapes / "images" / entry["filename"]).read_bytes())
        text = "\n".join(sentence["raw"] for sentence in entry["sentences"])
        (folder / entry["filename"]).with_suffix(".txt").write_text(text + "\n")
    return folder


@pytest.fixture(autouse=True)
def short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One epoch of small pictures."""
    text = re.sub(r"epochs: \d+", "epochs: 1", CONFIG.read_text())
    text = re.sub(r"image_size: \d+", "image_size: 32", text)
    (tmp_path / "short.yaml").write_text(text)
    monkeypatch.setattr("captioner.quickstart.CONFIG", tmp_path / "short.yaml")


def shown(err: str) -> list[list[str]]:
    return [shlex.split(line)[2:] for line in err.splitlines() if line.startswith("$ captioner ")]


def test_the_whole_path_on_one_s_own_pictures(cli: Any, pictures: Path) -> None:
    finished = cli("quickstart", "--data", pictures, "--folder", "first")
    assert finished.status == 0, finished.err
    commands = shown(finished.err)
    assert [words[0] for words in commands] == ["lint", "vocab", "train", "evaluate", "caption"]
    config = load_config(Path("first/config.yaml"))
    assert Path("first/config.yaml").read_text().startswith("# Your pictures, and a small model")
    assert (config.dataset.format, config.dataset.root) == ("folder", "my pictures")
    captioned = [row[0] for row in finished.rows[-3:]]
    assert captioned == [word for word in commands[-1] if word.endswith(".png")]
    assert all(Path(file).parent == pictures for file in captioned)
    assert Path("first/run/curves.html").exists()
    assert finished.err.splitlines()[-2:] == [
        "try another picture: captioner caption PICTURE.jpg --model first/run",
        "better captions take an encoder that has seen millions of pictures: docs/tutorial.md",
    ]

    alone = cli(*commands[-1], "--quiet")
    assert alone.rows == finished.rows[-3:]

    again = cli("quickstart", "--data", pictures.resolve(), "--folder", "first")  # The same, written otherwise.
    assert again.status == 0
    assert shown(again.err)[2] == ["train", "--config", "first/config.yaml", "--run", "first/run", "--resume"]
    assert again.rows[-3:] == finished.rows[-3:]

    Path("elsewhere").mkdir()
    other = cli("quickstart", "--data", "elsewhere", "--folder", "first")
    assert (other.status, other.err.splitlines()) == (
        2,
        [
            "error: first holds a quickstart of other data or settings",
            "       choose another --folder, or delete that one",
        ],
    )


def test_a_folder_of_pictures_that_is_not_there(cli: Any) -> None:
    finished = cli("quickstart", "--data", "pitcures", "--folder", "first")
    assert (finished.status, finished.err.splitlines()) == (
        2,
        ["error: pitcures is no folder", "       name the folder of your pictures: --data FOLDER"],
    )
    assert not Path("first").exists()


def test_a_folder_in_the_data(cli: Any, pictures: Path) -> None:
    """Its pages' pictures would be taken for data the next time."""
    finished = cli("quickstart", "--data", pictures, "--folder", pictures / "first")
    assert (finished.status, finished.err.splitlines()) == (
        2,
        [
            f"error: {pictures}/first is in {pictures}, where it would be taken for data",
            "       choose a --folder outside of it",
        ],
    )
    assert not (pictures / "first").exists()


def test_what_was_not_begun_is_not_in_the_way(cli: Any, pictures: Path) -> None:
    Path("empty").mkdir()
    finished = cli("quickstart", "--data", "empty", "--folder", "first")
    assert finished.status == 1
    assert "empty holds no pictures" in finished.out
    (pictures / "000003.png").write_bytes(b"no picture")
    Path("first/config.yaml").unlink()
    Path("first/run").mkdir()
    assert [words[0] for words in shown(cli("quickstart", "--data", pictures, "--folder", "first").err)] == ["lint"]


def test_ctrl_c_says_how_to_go_on(cli: Any, pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tell = Trainer._tell

    def interrupt(trainer: Trainer, epoch: int) -> None:
        tell(trainer, epoch)
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(Trainer, "_tell", interrupt)
    finished = cli("quickstart", "--data", pictures, "--folder", "first")
    assert finished.status == 130
    assert finished.err.splitlines()[-2:] == [
        "error: interrupted in epoch 1; everything so far is saved in first/run",
        "       go on from here: captioner quickstart --data 'my pictures' --folder first",
    ]


def test_mistakes_in_the_data_end_it(cli: Any, pictures: Path) -> None:
    (pictures / "000003.png").write_bytes(b"no picture")
    finished = cli("quickstart", "--data", pictures, "--folder", "first")
    assert finished.status == 1
    assert [words[0] for words in shown(finished.err)] == ["lint"]
    assert finished.err.splitlines()[-1] == (
        "warning: the quickstart ends here: mend that and run it again, or go on by hand from the command above"
    )


def test_the_shapes_are_drawn_first(tmp_path: Path) -> None:
    first = next(steps(tmp_path / "a", None))
    assert first.words == ["download", "shapes", "--root", str(tmp_path / "a" / "data")]
    config = load_config(tmp_path / "a" / "config.yaml")
    assert (config.dataset.format, config.dataset.root) == ("shapes", str(tmp_path / "a" / "data"))


def test_its_config_is_the_example() -> None:
    packaged = REPOSITORY / "captioner" / "quickstart.yaml"
    assert packaged.read_text() == (REPOSITORY / "examples" / "shapes.yaml").read_text()
