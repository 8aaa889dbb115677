"""``captioner compare`` tells people and programs whether B is better than A, and refuses what it cannot tell."""

import json
import shutil
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from captioner.config import Config
from captioner.data.shapes.dataset import generate_shapes
from captioner.events import ignore

METRICS = ["Bleu_1", "Bleu_2", "Bleu_3", "Bleu_4", "ROUGE_L", "CIDEr"]


def write_predictions(path: Path, captions: dict[int, str]) -> Path:
    path.write_text(json.dumps([{"image_id": key, "caption": text} for key, text in captions.items()]))
    return path


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path, Path]:
    """A, which is right for one image in four, B, for three in four, and the references of 60 images."""
    texts = {key: f"a dog of the breed {key} runs over hill {key % 7}" for key in range(60)}
    wrong = {key: f"a cat {key} sits" for key in texts}
    references = tmp_path / "r.json"
    references.write_text(
        json.dumps(
            {
                "images": [{"id": key, "file_name": f"{key}.png"} for key in texts],
                "annotations": [{"id": key, "image_id": key, "caption": text} for key, text in texts.items()],
            }
        )
    )
    a = {key: texts[key] if key % 4 == 0 else wrong[key] for key in texts}
    b = {key: wrong[key] if key % 4 == 0 else texts[key] for key in texts}
    return write_predictions(tmp_path / "a.json", a), write_predictions(tmp_path / "b.json", b), references


def test_two_files(cli: Any, files: tuple[Path, Path, Path], tmp_path: Path) -> None:
    a, b, references = files
    output = tmp_path / "c.json"
    finished = cli("compare", a, b, "--references", references, "--output", output)
    assert (finished.status, finished.err) == (0, "")
    found = json.loads(output.read_text())
    assert list(found) == [
        "a", "b", "images", "tokenizer", "scale", "sampling", "precision", "references", "seed", "resamples",
        "confidence", "metrics", "CIDEr_per_image", "per_image",
    ]  # fmt: skip
    assert (found["a"], found["b"], found["images"]) == (str(a), str(b), 60)
    assert found["tokenizer"] == "captioner-ptb-1"
    assert found["sampling"] == {
        "a": {"method": "file", "name": "a.json"},
        "b": {"method": "file", "name": "b.json"},
    }
    assert (found["seed"], found["resamples"], found["confidence"]) == (1, 10_000, 0.95)
    assert found["CIDEr_per_image"] == {"a_wins": 15, "ties": 0, "b_wins": 45}
    sha256 = found["references"]["sha256"]
    assert finished.rows == [
        ["metric", "A", "B", "B - A", "95 % interval", "verdict"],
        *(
            [
                name.replace("Bleu_", "BLEU-").replace("ROUGE_L", "ROUGE-L"),
                f"{entry['a']:.4f}",
                f"{entry['b']:.4f}",
                f"{entry['difference']:+.4f}",
                f"{entry['low']:+.4f} to {entry['high']:+.4f}",
                "B is better",
            ]
            for name, entry in found["metrics"].items()
        ),
        ["A", str(a)],
        ["B", str(b)],
        ["CIDEr, image by image", "B wins 45, ties 0, A wins 15"],
        ["images", "60"],
        ["bootstrap", "10,000 resamples of the images, seed 1"],
        ["tokenizer", "captioner-ptb-1"],
        ["scale", "fractions of 1; CIDEr-D, up to 10"],
        ["references", f"60 captions of r.json, sha256 {sha256[:12]}"],
        ["sampling of A", "method file, name a.json"],
        ["sampling of B", "method file, name b.json"],
    ]
    assert list(found["metrics"]) == METRICS
    for name, path in (("a", a), ("b", b)):
        scores = json.loads(cli("evaluate", "--predictions", path, "--references", references, "--json").out)
        assert {metric: found["metrics"][metric][name] for metric in METRICS} == {
            metric: scores[metric] for metric in METRICS
        }
        assert scores["references"] == found["references"]
    gaps = [row["difference"] for row in found["per_image"]]
    assert [abs(gap) for gap in gaps] == sorted((abs(gap) for gap in gaps), reverse=True)
    first = found["per_image"][0]
    assert list(first) == ["image_id", "caption_a", "caption_b", "CIDEr_a", "CIDEr_b", "difference"]
    assert first["difference"] == first["CIDEr_b"] - first["CIDEr_a"]


def test_for_programs_and_with_another_seed(cli: Any, files: tuple[Path, Path, Path]) -> None:
    a, b, references = files
    first, again, other = (
        json.loads(cli("compare", a, b, "--references", references, "--json", "--seed", seed).out) for seed in (1, 1, 2)
    )
    assert first == again
    assert other["seed"] == 2
    assert other["metrics"]["CIDEr"]["low"] != first["metrics"]["CIDEr"]["low"]


def test_the_same_predictions_are_all_ties(cli: Any, files: tuple[Path, Path, Path]) -> None:
    a, _, references = files
    finished = cli("compare", a, a, "--references", references)
    assert "warning: A and B say the same of every image" in finished.err.splitlines()
    for row in finished.rows[1:7]:
        assert row[1] == row[2]
        assert row[3:] == ["+0.0000", "+0.0000 to +0.0000", "no difference can be seen"]
    assert ["CIDEr, image by image", "B wins 0, ties 60, A wins 0"] in finished.rows


def test_captions_that_are_the_same_are_in_no_gallery(cli: Any, files: tuple[Path, Path, Path], tmp_path: Path) -> None:
    a, _, references = files
    page = tmp_path / "g.html"
    finished = cli("compare", a, a, "--references", references, "--gallery", page)
    assert finished.err.splitlines()[-1] == f"0 images that differ most are in {page}"
    text = page.read_text(encoding="utf-8")
    assert "article" not in Counter(text).counts
    assert "all captions are the same" in text


class Counter(HTMLParser):
    """Counts tags and keeps the sources of pictures."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.counts: dict[str, int] = {}
        self.sources: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.counts[tag] = self.counts.get(tag, 0) + 1
        if tag == "img":
            self.sources.append(dict(attrs)["src"] or "")


def test_a_gallery_of_files(cli: Any, files: tuple[Path, Path, Path], tmp_path: Path) -> None:
    a, b, references = files
    page = tmp_path / "new folder" / "g.html"
    finished = cli("compare", a, b, "--references", references, "--gallery", page)
    assert finished.status == 0
    assert finished.err.splitlines() == [
        "warning: the gallery has no pictures: --images names their folder",
        f"50 images that differ most are in {page}",
    ]
    found = Counter(page.read_text(encoding="utf-8"))
    assert (found.counts["article"], found.sources) == (50, [])
    assert "http" not in page.read_text(encoding="utf-8")

    for key in range(60):
        Image.new("RGB", (32, 32), (key, 0, 0)).save(tmp_path / f"{key}.png")
    pictures = cli("compare", a, b, "--references", references, "--gallery", page, "--images", tmp_path, "--quiet")
    assert (pictures.status, pictures.err) == (0, "")
    found = Counter(page.read_text(encoding="utf-8"))
    assert len(found.sources) == 50
    assert all(source.startswith("data:image/jpeg;base64,") for source in found.sources)


@pytest.fixture(scope="module")
def other_run(tiny_config: Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on the data of ``tiny_run``, shorter and with another decoder."""
    from captioner.experiment import Experiment

    run = tmp_path_factory.mktemp("runs") / "other"
    decoder = tiny_config.decoder.model_copy(update={"type": "lstm"})
    training = tiny_config.training.model_copy(update={"epochs": 1})
    config = tiny_config.model_copy(update={"decoder": decoder, "training": training})
    Experiment(config, ignore).trainer(run, resume=False).fit()
    return run


def test_two_models(cli: Any, tiny_run: Path, other_run: Path, tmp_path: Path) -> None:
    output, page = tmp_path / "c.json", tmp_path / "g.html"
    finished = cli("compare", tiny_run, other_run, "--split", "test", "--output", output, "--gallery", page, "--quiet")
    assert finished.status == 0
    assert finished.err == "warning: only 8 images: from fewer than 30, intervals come out too narrow\n"
    found = json.loads(output.read_text())
    for name, run in (("a", tiny_run), ("b", other_run)):
        scores = json.loads(cli("evaluate", "--model", run, "--split", "test", "--json", "--quiet").out)
        assert {metric: found["metrics"][metric][name] for metric in METRICS} == {
            metric: scores[metric] for metric in METRICS
        }
        assert found["sampling"][name] == scores["sampling"]
        assert found["precision"][name] == scores["precision"]
        assert [f"precision of {name.upper()}", scores["precision"]] in finished.rows
        assert found["references"] == scores["references"]
    assert sum(found["CIDEr_per_image"].values()) == 8
    assert len(Counter(page.read_text(encoding="utf-8")).sources) == 8


def test_other_sampling_for_both(cli: Any, tiny_run: Path, other_run: Path) -> None:
    finished = cli("compare", tiny_run, other_run, "--set", "sampling.beam_size=3", "--json", "--quiet")
    sampling = json.loads(finished.out)["sampling"]
    assert sampling["a"]["beam_size"] == sampling["b"]["beam_size"] == 3


def assert_refused(finished: Any, status: int, problem: str, remedy: str) -> None:
    assert finished.err.splitlines() == [f"error: {problem}", f"       {remedy}"]
    assert (finished.out, finished.status) == ("", status)


def test_models_of_different_data_sets(cli: Any, tiny_run: Path, tiny_config: Config, tmp_path: Path) -> None:
    from captioner.experiment import Experiment

    root = tmp_path / "other"
    generate_shapes(root, images=20, seed=9)
    dataset = tiny_config.dataset.model_copy(update={"root": str(root), "size": 20, "seed": 9})
    training = tiny_config.training.model_copy(update={"epochs": 1})
    features = tiny_config.features.model_copy(update={"path": str(tmp_path / "features")})
    config = tiny_config.model_copy(update={"dataset": dataset, "training": training, "features": features})
    run = tmp_path / "run"
    Experiment(config, ignore).trainer(run, resume=False).fit()
    assert_refused(
        cli("compare", tiny_run, run),
        1,
        f"{tiny_run} and {run} belong to different data sets: {tiny_config.dataset.root}/shapes.json and "
        f"{root}/shapes.json have other pictures or captions in the split 'val'",
        "let both caption the same pictures, and compare the files: captioner compare A.json B.json --references F",
    )


def test_the_model_whose_data_is_not_there_is_named(cli: Any, tiny_run: Path, other_run: Path, tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(other_run / "best", moved)
    index = json.loads((moved / "checkpoint.json").read_text())
    index["config"]["dataset"] |= {"format": "folder", "root": str(tmp_path / "gone")}
    (moved / "checkpoint.json").write_text(json.dumps(index))
    finished = cli("compare", tiny_run, moved)
    assert finished.status == 1
    assert finished.err.startswith(f"error: {moved}: ")
    assert f"{tmp_path}/gone" in finished.err


def test_the_same_data_set_in_another_place(cli: Any, tiny_run: Path, other_run: Path, tmp_path: Path) -> None:
    """Only where the data lies differs, and that is no difference."""
    index = json.loads((other_run / "best" / "checkpoint.json").read_text())
    moved = tmp_path / "moved"
    moved.mkdir()
    for file in (other_run / "best").iterdir():
        (moved / file.name).write_bytes(file.read_bytes())
    root = tmp_path / "data"
    root.symlink_to(index["config"]["dataset"]["root"])
    index["config"]["dataset"]["root"] = str(root)
    (moved / "checkpoint.json").write_text(json.dumps(index))
    before, after = (json.loads(cli("compare", tiny_run, run, "--json", "--quiet").out) for run in (other_run, moved))
    assert after["metrics"] == before["metrics"]


def test_inputs_that_do_not_go_together(cli: Any, tiny_run: Path, files: tuple[Path, Path, Path]) -> None:
    a, b, references = files
    for first, second in ((a, tiny_run), (tiny_run, a)):
        assert_refused(
            cli("compare", first, second, "--references", references),
            2,
            "one of A and B is a file, the other a model",
            "compare two models, or two COCO results files",
        )
    assert_refused(
        cli("compare", a, b),
        2,
        "A and B are files, with nothing to score them against",
        "add --references FILE",
    )
    for option in ("--references", "--images"):
        assert_refused(
            cli("compare", tiny_run, tiny_run, option, references),
            2,
            "--references and --images belong to COCO results files",
            "leave them out to compare models",
        )
    assert_refused(
        cli("compare", a, b, "--references", references, "--images", references.parent),
        2,
        "--images is of use to --gallery alone",
        "add --gallery FILE.html, or leave out --images",
    )


def test_inputs_that_are_not_there(cli: Any, files: tuple[Path, Path, Path], tmp_path: Path) -> None:
    a, _, references = files
    assert_refused(
        cli("compare", tmp_path / "none", tmp_path / "none"),
        1,
        f"{tmp_path}/none is not there",
        "give a run's directory (captioner train --run DIR) or a checkpoint's, such as DIR/best",
    )
    assert_refused(
        cli("compare", a, tmp_path / "none", "--references", references),
        1,
        f"cannot read {tmp_path}/none: No such file or directory",
        "check the path",
    )


def test_files_of_other_images(cli: Any, files: tuple[Path, Path, Path], tmp_path: Path) -> None:
    a, _, references = files
    few = write_predictions(tmp_path / "few.json", {0: "a dog"})
    finished = cli("compare", a, few, "--references", references)
    assert finished.status == 1
    assert finished.err.startswith("error: Images with references but without a caption: 1, 2, 3 and 56 more.")


def test_references_that_name_no_pictures(cli: Any, files: tuple[Path, Path, Path], tmp_path: Path) -> None:
    a, b, references = files
    document = json.loads(references.read_text())
    references.write_text(json.dumps({"annotations": document["annotations"]}))
    assert_refused(
        cli("compare", a, b, "--references", references, "--images", tmp_path, "--gallery", tmp_path / "g.html"),
        1,
        f"{references} names no picture files",
        'add "images": [{"id", "file_name"}], or leave out --images',
    )


def test_a_gallery_without_jinja(
    cli: Any, files: tuple[Path, Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b, references = files
    monkeypatch.setitem(sys.modules, "jinja2", None)
    assert_refused(
        cli("compare", a, b, "--references", references, "--gallery", tmp_path / "g.html"),
        2,
        "--gallery needs Jinja2, which is not installed",
        "install it: pip install 'captioner[report]'",
    )


def test_captions_with_halves_of_characters(cli: Any, files: tuple[Path, Path, Path], tmp_path: Path) -> None:
    """JSON can hold them, and neither a terminal nor a file can."""
    a, b, references = files
    entries = json.loads(b.read_text())
    entries[0]["caption"] = "a dog \ud83d runs"
    b.write_text(json.dumps(entries))
    output = tmp_path / "c.json"
    assert cli("compare", a, b, "--references", references, "--output", output).status == 0
    captions = [row["caption_b"] for row in json.loads(output.read_text())["per_image"]]
    assert "a dog ? runs" in captions
