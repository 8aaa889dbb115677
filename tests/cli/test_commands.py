"""Each command does what the contract says, and shows it to people and to programs."""

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from captioner.config import Config
from captioner.data.shapes.dataset import generate_shapes
from captioner.evaluation import twins
from captioner.evaluation.diversity import others
from captioner.evaluation.metrics import written
from captioner.evaluation.references import References
from captioner.predictor import Caption, Captioner
from captioner.text import tokenize
from captioner.vocab import Vocabulary

PERCENT = re.compile(r"\d+\.\d\d%")


@pytest.fixture
def photos(shapes: Path, tmp_path: Path) -> Path:
    """Two pictures, one in a sub-folder, a broken one and something else."""
    folder = tmp_path / "photos"
    (folder / "more").mkdir(parents=True)
    shutil.copy(shapes / "images" / "000000.png", folder / "a.png")
    shutil.copy(shapes / "images" / "000001.png", folder / "b b.PNG")
    shutil.copy(shapes / "images" / "000002.png", folder / "more" / "c.png")
    (folder / "notes.txt").write_text("no picture")
    return folder


def captions_of(shapes: Path, split: str) -> list[str]:
    document = json.loads((shapes / "shapes.json").read_text())
    return [one["raw"] for image in document["images"] if image["split"] == split for one in image["sentences"]]


def test_vocab_shows_size_unknown_rates_and_dropped_words(cli: Any, tiny_file: Path, shapes: Path) -> None:
    counts: dict[str, int] = {}
    for caption in captions_of(shapes, "train"):
        for word in tokenize(caption):
            counts[word] = counts.get(word, 0) + 1
    kept = {word for word, count in counts.items() if count >= 10}
    finished = cli("vocab", "--config", tiny_file, "--set", "vocab.min_count=10")
    assert finished.status == 0
    rows = dict(finished.rows)
    assert rows["words, with 4 special ones"] == str(len(kept) + 4)
    assert rows["occur at least"] == "10 times in the training captions"
    for split in ("train", "val", "test"):
        words = [word for caption in captions_of(shapes, split) for word in tokenize(caption)]
        unknown = sum(word not in kept for word in words)
        assert rows[f"unknown words, {split}"] == f"{unknown / len(words):.2%}"
    dropped = sorted((item for item in counts.items() if item[0] not in kept), key=lambda item: (-item[1], item[0]))
    assert rows["commonest dropped words"] == ", ".join(f"{word} ({count})" for word, count in dropped[:10])


def test_vocab_for_programs(cli: Any, tiny_file: Path, shapes: Path, tmp_path: Path) -> None:
    output = tmp_path / "vocabulary.json"
    finished = cli("vocab", "--config", tiny_file, "--json", "--output", output, "--quiet")
    assert (finished.status, finished.err) == (0, "")
    said = json.loads(finished.out)
    vocabulary = Vocabulary.from_json(output.read_text())
    assert said["size"] == len(vocabulary)
    assert said["unknown_rate"]["train"] == 0.0
    assert set(said["unknown_rate"]) == {"train", "val", "test"}
    assert said["dropped"] == []


def test_preprocess_computes_once(cli: Any, tiny_file: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    arguments = ["preprocess", "--config", tiny_file, "--set", f"features.path={store}"]
    first = cli(*arguments)
    assert first.status == 0
    assert first.out == ""
    assert f"computing features of 64 of 64 pictures of train into {store}" in first.err.splitlines()
    assert first.err.splitlines()[-1] == f"80 pictures' features are in {store}"
    before = {file: file.stat().st_mtime_ns for file in store.iterdir()}
    second = cli(*arguments)
    assert second.err.splitlines() == [
        f"features of all 64 pictures of train are in {store}",
        f"features of all 8 pictures of val are in {store}",
        f"features of all 8 pictures of test are in {store}",
        f"80 pictures' features are in {store}",
    ]
    assert {file: file.stat().st_mtime_ns for file in store.iterdir()} == before


def test_train_makes_what_is_missing_and_says_so(cli: Any, tiny_file: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    finished = cli(
        "train", "--config", tiny_file, "--run", run, "--set", f"features.path={tmp_path}/store",
        "--set", "decoder.type=lstm",
    )  # fmt: skip
    assert (finished.status, finished.out) == (0, "")
    lines = finished.err.splitlines()
    words = r"vocabulary: \d+ words, built from the training captions; \d+\.\d% of theirs are left out"
    assert any(re.fullmatch(words, line) for line in lines)
    assert f"computing features of 64 of 64 pictures of train into {tmp_path}/store" in lines
    epoch = r"epoch {}: loss \d\.\d{{3}}, validation CIDEr \d\.\d{{3}}, BLEU-4 \d\.\d{{3}}, \d+ captions/s"
    assert sum(bool(re.fullmatch(epoch.format(number), line)) for line in lines for number in (1, 2)) == 2
    assert re.fullmatch(rf"best validation CIDEr \d\.\d{{3}} in epoch [12]; the model is in {run}", lines[-2])
    assert lines[-1] == f"try it: captioner caption PHOTO.jpg --model {run}"
    assert {file.name for file in run.iterdir()} == {
        "best",
        "last",
        "config.yaml",
        "vocabulary.json",
        "log.jsonl",
        "log.csv",
        "curves.html",
    }
    rows = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    with (run / "log.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == [1, 2]
    assert [{key: str(value) for key, value in row.items()} for row in rows] == table


def test_quiet_says_nothing(cli: Any, tiny_file: Path, tmp_path: Path) -> None:
    finished = cli("train", "--config", tiny_file, "--run", tmp_path / "run", "--quiet", "--set", "training.epochs=3")
    assert (finished.status, finished.out, finished.err) == (0, "", "")


def references_of(shapes: Path, split: str) -> dict[int | str, list[str]]:
    document = json.loads((shapes / "shapes.json").read_text())
    entries = [image for image in document["images"] if image["split"] == split]
    return {entry["imgid"]: [one["raw"] for one in entry["sentences"]] for entry in entries}


NAMES = ["Bleu_1", "Bleu_2", "Bleu_3", "Bleu_4", "ROUGE_L", "CIDEr"]


SETTINGS = [
    "perplexity", "images", "tokenizer", "scale", "sampling", "precision", "references", "near_twins_in_training",
]  # fmt: skip
DIVERSITY = [
    "distinct_caption_ratio",
    "novel_caption_ratio",
    "mean_length",
    "repetition_rate",
    "unknown_word_rate",
    "unchanged_when_swapped",
    "collapse",
]


def official(candidates: dict[int, str], references: dict[int, list[str]]) -> dict[str, float]:
    """What pycocoevalcap computes on the same tokens."""
    pytest.importorskip("pycocoevalcap", reason="pycocoevalcap, the implementation to agree with, is not installed")
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.rouge.rouge import Rouge

    found = {key: [" ".join(tokenize(text))] for key, text in candidates.items()}
    known = {key: [" ".join(tokenize(text)) for text in references[key]] for key in candidates}
    bleu, _ = Bleu(4).compute_score(known, found, verbose=0)
    rouge, _ = Rouge().compute_score(known, found)
    cider, _ = Cider().compute_score(known, found)
    return dict(zip(NAMES, [*bleu, rouge, cider], strict=True))


def test_evaluate_a_model(cli: Any, tiny_run: Path, tiny_config: Config, shapes: Path, tmp_path: Path) -> None:
    output, per_image = tmp_path / "scores.json", tmp_path / "images.txt"
    finished = cli("evaluate", "--model", tiny_run, "--split", "dev", "-o", output, "--per-image", per_image, "--quiet")
    assert (finished.status, finished.err) == (0, "")
    scores = json.loads(output.read_text())
    assert list(scores) == [*NAMES, *SETTINGS, *DIVERSITY]
    assert scores["images"] == 8
    assert scores["tokenizer"] == "captioner-ptb-1"
    assert scores["sampling"] == tiny_config.sampling.model_dump()
    assert dict(finished.rows)["CIDEr"] == f"{scores['CIDEr']:.4f}"
    assert dict(finished.rows)["images"] == "8"
    assert dict(finished.rows)["tokenizer"] == "captioner-ptb-1"
    assert dict(finished.rows)["scale"] == scores["scale"] == "fractions of 1; CIDEr-D, up to 10"
    assert dict(finished.rows)["near_twins_in_training"] == "0"
    assert scores["near_twins_in_training"] == 0
    assert dict(finished.rows)["sampling"] == "method beam, beam_size 2, max_length 8, length_penalty 1.0"
    known = references_of(shapes, "val")
    assert scores["references"] == References("shapes.json, val", known).to_json()
    count = sum(map(len, known.values()))
    sha256 = scores["references"]["sha256"]
    assert dict(finished.rows)["references"] == f"{count} captions of shapes.json, val, sha256 {sha256[:12]}"

    row = next(
        row
        for row in map(json.loads, (tiny_run / "log.jsonl").read_text().splitlines())
        if row["epoch"]
        == json.loads((tiny_run / "best" / "checkpoint.json").read_text())["provenance"]["log_row"]["epoch"]
    )
    for name in NAMES:  # The score that chose the checkpoint is the score that it has.
        assert scores[name] == pytest.approx(row[f"val_{name}"], abs=1e-9)
    assert scores["perplexity"] == pytest.approx(row["val_perplexity"], rel=1e-6)

    images = [json.loads(line) for line in per_image.read_text().splitlines()]
    document = json.loads((shapes / "shapes.json").read_text())
    assert [image["image_id"] for image in images] == [
        entry["imgid"] for entry in document["images"] if entry["split"] == "val"
    ]
    assert [list(image) for image in images] == [["image_id", *NAMES]] * 8
    assert sum(image["CIDEr"] for image in images) / 8 == pytest.approx(scores["CIDEr"])


def test_scores_of_a_model_are_pycocoevalcap_s_of_its_captions(cli: Any, tiny_run: Path, shapes: Path) -> None:
    document = json.loads((shapes / "shapes.json").read_text())
    entries = [entry for entry in document["images"] if entry["split"] == "test"]
    files = [shapes / "images" / entry["filename"] for entry in entries]
    captions = dict(cli("caption", *files, "--model", tiny_run, "--quiet").rows)
    expected = official(
        {entry["imgid"]: captions[str(file)] for entry, file in zip(entries, files, strict=True)},
        {entry["imgid"]: [one["raw"] for one in entry["sentences"]] for entry in entries},
    )
    scores = json.loads(cli("evaluate", "--model", tiny_run, "--split", "test", "--json", "--quiet").out)
    assert {name: scores[name] for name in NAMES} == pytest.approx(expected, abs=1e-6)


def test_how_much_a_model_s_captions_vary(cli: Any, tiny_run: Path, shapes: Path) -> None:
    document = json.loads((shapes / "shapes.json").read_text())
    files = [shapes / "images" / entry["filename"] for entry in document["images"] if entry["split"] == "val"]
    captions = [tuple(tokenize(row[1])) for row in cli("caption", *files, "--model", tiny_run, "--quiet").rows]
    training = {tuple(tokenize(caption)) for caption in captions_of(shapes, "train")}
    known = {word for caption in captions_of(shapes, "val") for word in tokenize(caption)}
    words = [word for caption in captions for word in caption]
    scores = json.loads(cli("evaluate", "--model", tiny_run, "--json", "--quiet").out)
    assert scores["distinct_caption_ratio"] == len(set(captions)) / 8
    assert scores["novel_caption_ratio"] == sum(caption not in training for caption in captions) / 8
    assert scores["mean_length"] == len(words) / 8
    assert scores["unknown_word_rate"] == sum(word not in known for word in words) / len(words)
    assert scores["collapse"] is None
    same = [captions[own] == captions[other] for own, other in enumerate(others(8))]
    assert scores["unchanged_when_swapped"] == sum(same) / 8


def test_pictures_that_are_nearly_training_pictures_are_counted(
    cli: Any, tiny_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One is a training picture, byte for byte; another is one that was saved anew, smaller."""
    generate_shapes(tmp_path / "data", images=80, seed=1)
    document = json.loads((tmp_path / "data" / "shapes.json").read_text())
    files: dict[str, list[Path]] = {"train": [], "val": [], "test": []}
    for entry in document["images"]:
        files[entry["split"]].append(tmp_path / "data" / "images" / entry["filename"])
    with Image.open(files["train"][1]) as picture:
        size = picture.size
    detail = Image.effect_noise((24, 24), 90).convert("RGB").resize(size, Image.Resampling.BICUBIC)
    detail.save(files["train"][1])
    files["val"][0].write_bytes(files["train"][0].read_bytes())
    detail.resize((detail.width // 2, detail.height // 2)).save(files["val"][3])
    changed = ["--set", f"dataset.root={tmp_path}/data", "--set", f"features.path={tmp_path}/features"]
    run = ["--run", tmp_path / "run", "--set", "training.epochs=1", "--quiet"]
    assert cli("train", "--config", tiny_file, *changed, *run).status == 0
    finished = cli("evaluate", "--model", tmp_path / "run", "--json", "--quiet")
    assert json.loads(finished.out)["near_twins_in_training"] == 2
    warning = (
        f"2 pictures of 8 nearly equal to one that was trained on ({files['val'][0].name}, {files['val'][3].name}): "
        "'captioner lint' names the pairs"
    )
    assert f"warning: {warning}\n" in finished.err
    monkeypatch.setattr(twins, "look_at", lambda new, _: pytest.fail(f"{new} were looked at again"))
    assert json.loads(cli("evaluate", "--model", tmp_path / "run", "--json", "--quiet").out) == json.loads(finished.out)


def test_of_another_data_set_copies_are_not_counted(cli: Any, tiny_run: Path, tmp_path: Path) -> None:
    other = ["--set", f"dataset.root={tmp_path}/other", "--set", "dataset.size=40"]
    generate_shapes(tmp_path / "other", images=40)
    finished = cli("evaluate", "--model", tiny_run, *other, "--json", "--quiet")
    assert finished.status == 0
    scores = json.loads(finished.out)
    assert scores["novel_caption_ratio"] is None
    assert scores["near_twins_in_training"] is None


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_scores_say_in_which_precision_the_model_captioned(cli: Any, tiny_run: Path, precision: str) -> None:
    chosen = ["evaluate", "--model", tiny_run, "--quiet", "--set", f"training.precision={precision}"]
    assert dict(cli(*chosen).rows)["precision"] == precision
    assert json.loads(cli(*chosen, "--json").out)["precision"] == precision


def test_several_beam_sizes_in_one_run(cli: Any, tiny_run: Path, tmp_path: Path) -> None:
    output = tmp_path / "beams.json"
    finished = cli("evaluate", "--model", tiny_run, "--beam-sizes", "1, 3,2,3", "--output", output, "--quiet")
    assert (finished.status, finished.err) == (0, "")
    entries = json.loads(output.read_text())
    assert [list(entry) for entry in entries] == [
        ["beam_size", "search_seconds", *NAMES, *SETTINGS, *DIVERSITY],
    ] * 3
    assert [entry["beam_size"] for entry in entries] == [1, 3, 2]
    assert finished.rows[0] == ["beam", *map(written, NAMES), "search", "pictures/s"]
    for entry, row in zip(entries, finished.rows[1:], strict=False):
        seconds = entry["search_seconds"]
        scores = [f"{entry[name]:.4f}" for name in NAMES]
        assert row == [str(entry["beam_size"]), *scores, f"{seconds:.2f} s", f"{8 / seconds:.0f}"]
        size = entry["beam_size"]
        setting = "sampling.method=greedy" if size == 1 else f"sampling.beam_size={size}"
        expected = json.loads(cli("evaluate", "--model", tiny_run, "--json", "--quiet", "--set", setting).out)
        expected["sampling"]["beam_size"] = size  # Greedy decoding has none of its own.
        assert {name: entry[name] for name in expected} == expected
    settings = dict(finished.rows[4:])
    assert list(settings) == [
        "images", "perplexity", "tokenizer", "scale", "references", "near_twins_in_training", "sampling", "precision",
    ]  # fmt: skip
    assert settings["sampling"] == "method beam, and greedy for 1, max_length 8, length_penalty 1.0"


def test_pictures_are_encoded_once_for_all_beam_sizes(
    cli: Any, tiny_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encode, calls = Captioner.encode, []
    monkeypatch.setattr(Captioner, "encode", lambda self, pixels: calls.append(len(pixels)) or encode(self, pixels))
    assert cli("evaluate", "--model", tiny_run, "--beam-sizes", "1,2,3", "--quiet").status == 0
    assert calls == [8]


def test_the_training_split_when_it_is_wanted(cli: Any, tiny_run: Path) -> None:
    wanted = ["evaluate", "--model", tiny_run, "--split", "train", "--allow-training-split", "--json", "--quiet"]
    finished = cli(*wanted)
    assert finished.status == 0
    assert json.loads(finished.out)["images"] == 64
    assert json.loads(finished.out)["near_twins_in_training"] is None


def test_evaluate_with_other_sampling(cli: Any, tiny_run: Path) -> None:
    finished = cli(
        "evaluate", "--model", tiny_run, "--json", "--quiet",
        "--set", "sampling.method=greedy", "--set", "sampling.max_length=3",
    )  # fmt: skip
    sampling = json.loads(finished.out)["sampling"]
    assert (sampling["method"], sampling["max_length"]) == ("greedy", 3)


def test_evaluate_anybody_s_captions(cli: Any, tmp_path: Path) -> None:
    candidates = {1: "A dog runs over the grass.", 2: "a man on a red bike", 30: ""}
    references = {
        1: ["A dog is running over green grass.", "The brown dog runs."],
        2: ["A man rides a bike", "Someone on a red bicycle"],
        30: ["Two birds."],
    }
    found, known = tmp_path / "p.json", tmp_path / "r.json"
    found.write_text(json.dumps([{"image_id": key, "caption": text} for key, text in candidates.items()]))
    annotations = [{"id": 0, "image_id": key, "caption": text} for key in references for text in references[key]]
    known.write_text(json.dumps({"images": [{"id": key} for key in references], "annotations": annotations}))
    finished = cli("evaluate", "--predictions", found, "--references", known, "--json")
    assert finished.status == 0
    scores = json.loads(finished.out)
    assert {name: scores[name] for name in NAMES} == pytest.approx(official(candidates, references), abs=1e-6)
    assert scores["perplexity"] is None
    assert scores["images"] == 3
    assert scores["sampling"] == {"method": "file", "name": "p.json"}
    assert scores["precision"] is None
    assert scores["references"] == References("r.json", references).to_json()
    assert {name: scores[name] for name in DIVERSITY} == {
        "distinct_caption_ratio": 1.0,
        "novel_caption_ratio": None,
        "mean_length": 4.0,
        "repetition_rate": 0.0,
        "unknown_word_rate": 0.0,
        "unchanged_when_swapped": None,
        "collapse": None,
    }


def test_captions_that_hardly_differ_are_warned_of(cli: Any, tmp_path: Path) -> None:
    found, known = tmp_path / "p.json", tmp_path / "r.json"
    found.write_text(json.dumps([{"image_id": key, "caption": "a dog"} for key in range(30)]))
    known.write_text(json.dumps({"annotations": [{"image_id": key, "caption": f"a cat {key}"} for key in range(30)]}))
    finished = cli("evaluate", "--predictions", found, "--references", known, "--quiet")
    assert finished.status == 0
    warning = (
        "captions hardly differ from picture to picture: 30 of 30 pictures get 'A dog'; likely cause: too little "
        "training, too few pictures to learn from, too high a learning rate, pictures that are prepared otherwise "
        "than in training, or pictures that are nearly the same"
    )
    assert finished.err == f"warning: {warning}\n"
    assert "collapse" not in dict(finished.rows)
    assert (
        json.loads(cli("evaluate", "--predictions", found, "--references", known, "--json").out)["collapse"] == warning
    )


def test_caption_piped(cli: Any, tiny_run: Path, photos: Path) -> None:
    finished = cli("caption", photos / "a.png", photos / "b b.PNG", "--model", tiny_run, "--quiet")
    assert (finished.status, finished.err) == (0, "")
    assert [row[0] for row in finished.rows] == [str(photos / "a.png"), str(photos / "b b.PNG")]
    for _, caption in finished.rows:
        assert caption[0].isupper()
        assert not caption.endswith(".")
    stopped = cli("caption", photos / "a.png", "--model", tiny_run, "--full-stop")
    assert stopped.rows[0][1] == finished.rows[0][1] + "."


def test_caption_writes_json_lines_and_tables(cli: Any, tiny_run: Path, photos: Path, tmp_path: Path) -> None:
    inputs = [photos / "a.png", photos / "b b.PNG"]
    written = {}
    for suffix in ("json", "jsonl", "csv"):
        output = tmp_path / "new folder" / f"captions.{suffix}"
        finished = cli("caption", *inputs, "--model", tiny_run, "--output", output)
        assert (finished.status, finished.out) == (0, "")
        assert finished.err.splitlines()[-1] == f"captioned 2 of 2 pictures into {output}"
        written[suffix] = output.read_text(encoding="utf-8")
    rows = json.loads(written["json"])
    assert [list(row) for row in rows] == [["file", "caption", "log_prob", "confidence", "error"]] * 2
    assert [row["file"] for row in rows] == [str(path) for path in inputs]
    for row in rows:
        assert row["error"] == ""
        assert row["log_prob"] < 0
        assert 0 < row["confidence"] <= 1
    assert [json.loads(line) for line in written["jsonl"].splitlines()] == rows
    table = list(csv.DictReader(written["csv"].splitlines()))
    assert table == [{key: str(value) for key, value in row.items()} for row in rows]


def test_unreadable_pictures_become_rows_with_an_error(cli: Any, tiny_run: Path, photos: Path, tmp_path: Path) -> None:
    inputs = [photos / "none.png", photos / "a.png", photos / "notes.txt"]
    finished = cli("caption", *inputs, "--model", tiny_run)
    assert finished.status == 3
    assert finished.rows[0] == [str(inputs[0]), "", "no such file"]
    assert finished.rows[1][0] == str(inputs[1])
    assert finished.rows[2] == [str(inputs[2]), "", "not a picture in a format that can be read"]
    assert finished.err.splitlines()[-1] == "warning: 2 of 3 pictures could not be captioned"
    output = tmp_path / "captions.json"
    written = cli("caption", *inputs, "--model", tiny_run, "--output", output, "--quiet")
    assert written.status == 3
    assert written.err.splitlines() == ["warning: 2 of 3 pictures could not be captioned"]
    rows = json.loads(output.read_text())
    assert rows[0] == {
        "file": str(inputs[0]), "caption": "", "log_prob": None, "confidence": None, "error": "no such file",
    }  # fmt: skip
    assert rows[1]["error"] == ""


def test_a_folder_means_the_pictures_in_it(cli: Any, tiny_run: Path, photos: Path) -> None:
    flat = cli("caption", photos, "--model", tiny_run, "--quiet")
    assert flat.status == 0
    assert [row[0] for row in flat.rows] == [str(photos / "a.png"), str(photos / "b b.PNG")]
    deep = cli("caption", photos, "--recursive", "--model", tiny_run, "--quiet")
    assert [row[0] for row in deep.rows] == [str(photos / name) for name in ("a.png", "b b.PNG", "more/c.png")]


def test_a_quoted_pattern(cli: Any, tiny_run: Path, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    absolute = cli("caption", f"{photos}/**/*.png", "--model", tiny_run, "--quiet")
    assert [row[0] for row in absolute.rows] == [str(photos / "a.png"), str(photos / "more/c.png")]
    monkeypatch.chdir(photos)
    relative = cli("caption", "*.png", "more/?.png", "--model", tiny_run, "--quiet")
    assert [row[0] for row in relative.rows] == ["a.png", "more/c.png"]


def test_a_file_whose_name_looks_like_a_pattern(cli: Any, tiny_run: Path, photos: Path) -> None:
    name = photos / "a[1]*.png"
    shutil.copy(photos / "a.png", name)
    assert [row[0] for row in cli("caption", name, "--model", tiny_run, "--quiet").rows] == [str(name)]


@pytest.mark.skipif(sys.platform == "win32", reason="names of files are text there")
def test_names_that_are_no_text_and_names_with_tabs(cli: Any, tiny_run: Path, photos: Path, tmp_path: Path) -> None:
    odd = os.fsdecode(os.fsencode(photos) + b"/\xff.png")
    shutil.copy(photos / "a.png", odd)
    tabbed = photos / "tab\tbed.png"
    shutil.copy(photos / "a.png", tabbed)
    output = tmp_path / "captions.jsonl"
    assert cli("caption", odd, tabbed, "--model", tiny_run, "--output", output, "--quiet").status == 0
    rows = [json.loads(line) for line in output.read_bytes().decode("utf-8", "surrogateescape").splitlines()]
    assert [row["file"] for row in rows] == [odd, str(tabbed)]
    finished = cli("caption", tabbed, "--model", tiny_run, "--quiet")
    assert finished.rows[0][0] == str(photos / "tab bed.png")
    assert len(finished.rows[0]) == 2


def test_a_name_with_the_name_of_a_sign_stays_as_it_is(cli: Any, tiny_run: Path, photos: Path, tmp_path: Path) -> None:
    output = tmp_path / "a:dog:b.json"
    finished = cli("caption", photos / "a.png", "--model", tiny_run, "--output", output)
    assert finished.err.splitlines()[-1].endswith(str(output))


@contextmanager
def terminal() -> Iterator[tuple[int, int]]:
    """Both ends of a terminal 200 characters wide."""
    import fcntl
    import pty
    import struct
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 200, 0, 0))
    try:
        yield ours, theirs
    finally:
        os.close(ours)


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such terminals there")
def test_a_table_on_a_terminal(tiny_run: Path, photos: Path) -> None:
    command = [sys.executable, "-m", "captioner", "caption", str(photos / "a.png"), str(photos / "none.png")]
    with terminal() as (ours, theirs):
        with subprocess.Popen(
            [*command, "--model", str(tiny_run)],
            stdout=theirs,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "TERM": "xterm", "NO_COLOR": "1", "COLUMNS": "200"},
        ) as process:
            os.close(theirs)
            shown = b""
            while True:
                try:
                    part = os.read(ours, 65536)
                except OSError:  # Linux says so that the other end is closed.
                    break
                if not part:
                    break
                shown += part
        assert process.returncode == 3
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown.decode())
    header, _, first, second = [line.strip() for line in text.splitlines() if line.strip()][:4]
    assert header.split() == ["file", "caption", "confidence"]
    assert first.startswith(str(photos / "a.png"))
    assert first.endswith("%")
    assert second.split(maxsplit=1) == [str(photos / "none.png"), "error: no such file"]


def test_inspect_shows_what_is_inside(cli: Any, tiny_run: Path) -> None:
    finished = cli("inspect", tiny_run)
    assert (finished.status, finished.err) == (0, "")
    assert finished.rows[0] == ["checkpoint", "directory", str(tiny_run / "best")]
    assert ["encoder", "backbone", "mobilenet_v3_small"] in finished.rows
    assert ["", "picture", "shorter side to 64, centre 64x64"] in finished.rows
    assert ["decoder", "type", "attention"] in finished.rows
    first = finished.rows.index(["sampling", "method", "beam"])
    rest = [["beam_size", "2"], ["max_length", "8"], ["length_penalty", "1.0"]]  # No settings of other methods.
    assert [row[1:] for row in finished.rows[first + 1 : first + 4]] == rest
    assert finished.rows[first + 4][0] == "confidence"
    confidence = [row[1:] for row in finished.rows[[row[0] for row in finished.rows].index("confidence") :]]
    assert confidence[0] == ["means", "probability that a caption's CIDEr is 0.5 or more, as in the validation split"]
    assert confidence[1] == ["method", "Platt scaling of the mean log-probability of its words"]
    assert re.fullmatch(r"0\.\d{3} \(expected calibration error, cross-validated\)", confidence[2][1])
    assert re.fullmatch(r"says \d+%; of 8 captions \d+% are right", confidence[3][1])
    assert ["confidence", "means", GEOMETRIC] in cli("inspect", tiny_run / "last").rows


GEOMETRIC = "geometric mean of the words' probabilities: it ranks captions, and is not calibrated"


def test_inspect_for_programs(cli: Any, tiny_run: Path) -> None:
    finished = cli("inspect", tiny_run / "last", "--json")
    said = json.loads(finished.out)
    words = Vocabulary.from_json((tiny_run / "vocabulary.json").read_text())
    assert list(said) == ["checkpoint", "encoder", "decoder", "vocabulary", "sampling", "confidence", "training"]
    assert said["training"]["epoch"] == 2
    assert said["training"]["pictures"] == {"train": 64, "val": 8, "test": 8}
    assert (said["vocabulary"]["words"], said["decoder"]["parameters"] > 1000) == (len(words), True)
    assert said["sampling"]["temperature"] == 1.0  # All of it, though a beam does not heed it.


def test_inspect_needs_no_torch(tiny_run: Path) -> None:
    code = (
        "import sys; from captioner.cli.app import main\n"
        "try:\n    main()\nexcept SystemExit as leaving:\n    assert not leaving.code\n"
        "sys.exit('torch' in sys.modules)"
    )
    command = [sys.executable, "-c", code, "inspect", str(tiny_run)]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0


def test_no_arguments_show_the_help(cli: Any) -> None:
    finished = cli()
    for command in ("vocab", "preprocess", "train", "evaluate", "compare", "caption", "inspect"):
        assert command in finished.out + finished.err


def test_version(cli: Any) -> None:
    from captioner import __version__

    assert cli("--version").out == f"captioner {__version__}\n"


def as_users_do() -> dict[str, Any]:
    """Standard output buffered, as it is unless the environment says otherwise."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    return {"capture_output": True, "text": True, "check": False, "env": environment}


def test_a_reader_that_goes_away_is_no_error(tiny_run: Path, photos: Path) -> None:
    command = f"'{sys.executable}' -m captioner inspect '{tiny_run}' | head -n 1"
    finished = subprocess.run(["bash", "-o", "pipefail", "-c", command], **as_users_do())
    assert (finished.returncode, finished.stderr) == (0, "")
    assert finished.stdout.startswith("checkpoint\tdirectory")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize(
    "command", ["inspect RUN", "inspect RUN --json", "caption PHOTO --model RUN --quiet", "--help"]
)
def test_results_that_cannot_be_written_are_an_error(tiny_run: Path, shapes: Path, command: str) -> None:
    words = command.replace("RUN", f"'{tiny_run}'").replace("PHOTO", f"'{shapes}/images/000000.png'")
    line = f"'{sys.executable}' -m captioner {words}"
    full = subprocess.run(["bash", "-c", f"{line} > /dev/full"], **as_users_do())
    assert full.returncode == 1
    assert full.stderr.splitlines() == [
        "error: cannot write to standard output: No space left on device  [StorageError]",
        "       free some space, or send the results elsewhere",
    ]
    closed = subprocess.run(["bash", "-c", f"{line} >&-"], **as_users_do())
    assert (closed.returncode, closed.stdout, closed.stderr) == (0, "", "")


def test_a_job_whose_captions_hardly_differ_is_warned_of(
    cli: Any, tiny_run: Path, shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    same = Caption(("a", "red", "dot"), -1.0)
    monkeypatch.setattr(Captioner, "caption_images", lambda self, images, numbers, number: [[same] for _ in images])
    files = sorted((shapes / "images").iterdir())[:25]
    warning = (
        "warning: captions hardly differ from picture to picture: 25 of 25 pictures get 'A red dot'; likely cause: too "
        "little training, too few pictures to learn from, too high a learning rate, pictures that are prepared "
        "otherwise than in training, or pictures that are nearly the same\n"
    )
    job = ["--model", tiny_run, "--quiet", "--output", tmp_path / "rows.json"]
    assert cli("caption", *files, *job).err == warning
    assert cli("caption", *files, *job).err == ""  # All are known: nothing was captioned that could be judged.
    copies = [shutil.copy(files[0], tmp_path / f"{number}.png") for number in range(25)]
    assert cli("caption", *copies, "--model", tiny_run, "--quiet").err == ""  # Of one picture it is no wonder.
