"""Several captions of a picture, random ones, captions that obey, and models that caption together."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from captioner import predictor
from captioner.compute import Compute
from captioner.config import Config, SamplingConfig
from captioner.configfile import load_config
from captioner.data.shapes.dataset import generate_shapes
from captioner.errors import ImageError
from captioner.events import ignore
from captioner.experiment import Experiment
from captioner.predictor import Captioner

DRAWN = ["--set", "sampling.method=sample", "--set", "sampling.temperature=1.5"]


@pytest.fixture
def photos(shapes: Path) -> list[Path]:
    return sorted((shapes / "images").iterdir())[:6]


@pytest.fixture(scope="session")
def other_run(tiny_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run like ``tiny_run`` with another encoder, of pictures of another size, and another decoder."""
    return trained(
        tiny_file,
        tmp_path_factory,
        "encoder.image_size=96",
        "decoder.type=lstm",
        "training.seed=2",
        "sampling.beam_size=3",
    )


def trained(file: Path, folders: pytest.TempPathFactory, *overrides: str) -> Path:
    folder = folders.mktemp("other")
    config = load_config(file, [f"features.path={folder}/features", "training.epochs=1", *overrides])
    Experiment(config, ignore).trainer(folder / "run", resume=False).fit()
    return folder / "run"


def rows_of(cli: Any, output: Path, *arguments: object) -> list[dict[str, Any]]:
    assert cli("caption", *arguments, "--output", output, "--quiet").status == 0
    rows: list[dict[str, Any]] = json.loads(output.read_text())
    return rows


@pytest.mark.parametrize("method", ["beam", "diverse_beam", "sample"])
def test_several_captions_of_each_picture(
    cli: Any, tiny_run: Path, photos: list[Path], tmp_path: Path, method: str
) -> None:
    arguments = [*photos, "--model", tiny_run, "--set", f"sampling.method={method}"]
    arguments += [] if method == "sample" else ["--set", "sampling.beam_size=3"]
    rows = rows_of(cli, tmp_path / "rows.json", *arguments, "--num-captions", 3)
    assert all(list(row) == ["file", "caption", "log_prob", "confidence", "error"] for row in rows)
    files = [row["file"] for row in rows]
    assert files == sorted(files, key=[str(photo) for photo in photos].index)
    for photo in photos:
        confidences = [row["confidence"] for row in rows if row["file"] == str(photo)]
        # The penalty of length is 1: best first is by the mean per word, as the confidence is.
        assert confidences == sorted(confidences, reverse=True)
        assert len(confidences) == 3 if method != "diverse_beam" else 1 <= len(confidences) <= 3
    if method == "beam":
        assert rows[::3] == rows_of(cli, tmp_path / "row.json", *arguments)
    elif method == "sample":
        assert all(row in rows for row in rows_of(cli, tmp_path / "row.json", *arguments))


def test_a_picture_that_cannot_be_read_has_one_row(cli: Any, tiny_run: Path, photos: list[Path]) -> None:
    finished = cli("caption", photos[0], "none.png", "--model", tiny_run, "--num-captions", 2, "--quiet")
    assert finished.status == 3
    assert [row[0] for row in finished.rows] == [str(photos[0]), str(photos[0]), "none.png"]
    assert finished.err == "warning: 1 of 2 pictures could not be captioned\n"


def test_more_captions_than_the_method_finds(cli: Any, tiny_run: Path, photos: list[Path]) -> None:
    greedy = cli("caption", *photos, "--model", tiny_run, "--num-captions", 2, "--set", "sampling.method=greedy")
    assert (greedy.status, greedy.out) == (2, "")
    assert greedy.err.splitlines() == [
        "error: greedy decoding finds one caption of a picture",
        "       add --set sampling.method=beam, diverse_beam, consensus or sample",
    ]
    beam = cli("caption", *photos, "--model", tiny_run, "--num-captions", 4)
    assert (beam.status, beam.out) == (2, "")
    assert beam.err.splitlines() == [
        "error: a beam of 2 finds at most 2 captions of a picture",
        "       ask for fewer, or widen it: --set sampling.beam_size=4",
    ]
    assert cli("caption", *photos, "--model", tiny_run, "--num-captions", 0).status == 2


def test_settings_that_the_method_does_not_heed_are_refused(
    cli: Any, tiny_run: Path, photos: list[Path], tmp_path: Path
) -> None:
    for command in (["caption", *photos], ["evaluate"], ["compare", tiny_run]):
        arguments = [*command, tiny_run] if command[0] == "compare" else [*command, "--model", tiny_run]
        for setting in ("sampling.top_p=0.5", "sampling.seed=2"):
            finished = cli(*arguments, "--set", setting, "--quiet")
            assert (finished.status, finished.out) == (2, "")
            assert finished.err.splitlines() == [
                f"error: captions are chosen by method beam, where --set {setting} has no effect",
                "       leave it out, or choose the method that you mean by --set sampling.method=...",
            ]
    table = ["evaluate", "--model", tiny_run, "--beam-sizes", "1,2", "--quiet"]
    assert cli(*table, "--set", "sampling.length_penalty=0.5").status == 0
    for setting in ("sampling.method=sample", "sampling.beam_size=2"):
        refused = cli(*table, "--set", setting)
        assert refused.err.startswith(f"error: --beam-sizes and --set {setting} do not go together")
    groups = ["--set", "sampling.method=diverse_beam", "--set", "sampling.beam_groups=2"]
    beams = cli(*table[:3], "--beam-sizes", "4,1", *groups, "--quiet").rows[3:]
    assert dict(beams)["sampling"].startswith("method diverse_beam, and")
    uneven = cli(*table[:3], "--beam-sizes", "3", *groups).err
    assert uneven.startswith("error: a beam of 3 cannot be shared evenly among 2 groups")
    whole = cli("evaluate", "--model", tiny_run, "--set", "sampling={method: greedy}", "--json", "--quiet")
    assert json.loads(whole.out)["sampling"]["method"] == "greedy"
    wide = cli(*table, "--set", "sampling.method=consensus")
    assert wide.status == 0
    assert dict(wide.rows[3:])["sampling"] == "method consensus, and greedy for 1, max_length 8, length_penalty 1.0"


def test_a_model_is_scored_where_its_data_is(
    cli: Any, tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for command in (["evaluate", "--model", tiny_run], ["compare", tiny_run, tiny_run]):
        finished = cli(*command, "--set", "dataset.root=quickstart/data", "--quiet")
        assert (finished.status, finished.out) == (1, "")
        assert finished.err.splitlines() == [
            "error: the data set is not in quickstart/data",
            "       run the command where the model was trained, or name the folder by --set dataset.root=FOLDER",
        ]
    assert not list(tmp_path.iterdir())


def test_more_captions_than_the_output_takes(cli: Any, tiny_run: Path, photos: list[Path], tmp_path: Path) -> None:
    arguments = ["caption", *photos, "--model", tiny_run, "--output", tmp_path / "found.json"]
    coco = cli(*arguments, "--num-captions", 2, "--format", "coco")
    assert (coco.status, coco.out) == (2, "")
    assert coco.err.splitlines() == [
        "error: COCO results have one caption of an image",
        "       leave out --num-captions, or --format coco",
    ]
    assert cli(*arguments, "--num-captions", 4).status == 2
    assert list(tmp_path.iterdir()) == []  # Not even a manifest.


def test_several_captions_are_known_the_next_time(cli: Any, tiny_run: Path, photos: list[Path], tmp_path: Path) -> None:
    output = tmp_path / "rows.csv"
    command = ["caption", *photos, "--model", tiny_run, "--output", output, "--num-captions"]
    assert cli(*command, 2).err.splitlines()[-1] == f"captioned 6 of 6 pictures into {output}"
    two = output.read_bytes()
    assert len(two.splitlines()) == 1 + 2 * 6
    assert cli(*command, 2).err.splitlines()[-1] == f"captioned 0 of 6 pictures into {output}; 6 known from before"
    assert output.read_bytes() == two
    assert cli(*command, 1).err.splitlines()[-1] == f"captioned 6 of 6 pictures into {output}"
    assert output.read_bytes().splitlines() == [two.splitlines()[0], *two.splitlines()[1::2]]


@pytest.mark.parametrize("existing", ["append", "prepend"])
def test_several_captions_beside_a_picture(
    cli: Any, tiny_run: Path, photos: list[Path], tmp_path: Path, existing: str
) -> None:
    picture = Path(shutil.copy(photos[0], tmp_path))
    several = [row[1] for row in cli("caption", picture, "--model", tiny_run, "--num-captions", 2, "--quiet").rows]
    picture.with_suffix(".txt").write_text("mine\n")
    for _ in range(2):  # As after a killed run.
        cli("caption", picture, "--model", tiny_run, "--num-captions", 2, "--sidecar", "--existing", existing)
        lines = ["mine", *several] if existing == "append" else [*several, "mine"]
        assert picture.with_suffix(".txt").read_text().splitlines() == lines


def test_random_captions_are_the_same_every_time(cli: Any, tiny_run: Path, photos: list[Path]) -> None:
    arguments = ["caption", *photos, "--model", tiny_run, "--quiet", *DRAWN]
    first = cli(*arguments)
    assert cli(*arguments).out == first.out
    assert cli(*arguments, "--set", "sampling.seed=2").out != first.out
    assert cli("caption", photos[0], "--model", tiny_run, "--quiet", *DRAWN).rows == first.rows[:1]


def test_random_captions_of_files_depend_on_their_content_only(
    cli: Any, tiny_run: Path, photos: list[Path], tmp_path: Path
) -> None:
    """Not on a file's name or place, on other files, or on what a manifest knows already."""
    arguments = ["--model", tiny_run, "--num-captions", 2, *DRAWN, "--set", "training.precision=float32"]

    def found(name: str, *files: Path) -> dict[str, list[str]]:
        rows = rows_of(cli, tmp_path / name, *files, *arguments)
        captions: dict[str, list[str]] = {}
        for row in rows:
            captions.setdefault(Path(row["file"]).name, []).append(row["caption"])
        return captions

    together = found("rows.json", *photos)
    assert len({text for several in together.values() for text in several}) > 6
    assert found("turned.json", *reversed(photos)) == together
    some = found("some.json", *photos[1::2])
    assert some == {name: together[name] for name in some}
    assert found("some.json", *photos) == together  # Three of them known, in groups without them.
    copy = Path(shutil.copy(photos[2], tmp_path / "another name.png"))
    assert found("copy.json", copy)["another name.png"] == together[photos[2].name]


def test_a_picture_s_random_caption_depends_on_its_place_only(
    tiny_run: Path, photos: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In whatever groups the pictures are searched and encoded, and by however many threads."""
    sampling = SamplingConfig(method="sample", temperature=1.5, max_length=8)
    captioner = Captioner.load(tiny_run, sampling=sampling, device="cpu", precision="float32")
    pictures = [photos[0], photos[1], Path("none.png"), *photos[2:]]

    def found() -> list[Any]:
        results = list(captioner.captions(iter(pictures), 2))
        return [
            result.problem if isinstance(result, ImageError) else [one.words for one in result] for result in results
        ]

    together = found()
    assert together[2] == "no such file"
    for searched, encoded in ((1, 1), (2, 32), (3, 2)):
        monkeypatch.setattr(predictor, "DECODE_AT_ONCE", searched)
        monkeypatch.setattr(Compute, "pictures_at_once", encoded)
        assert found() == together
    pictures[0] = pictures[6]  # Another picture in one place changes nothing in the others.
    assert found()[1:] == together[1:]


def test_captions_obey(cli: Any, tiny_run: Path, photos: list[Path], tmp_path: Path) -> None:
    plain = rows_of(cli, tmp_path / "plain.json", *photos, "--model", tiny_run)
    word = plain[0]["caption"].split()[1]
    rules = ["--set", f"sampling.banned_words=[{word}]", "--set", "sampling.min_length=6"]
    rules += ["--set", "sampling.no_repeat_ngram=1", "--set", "sampling.bad_endings=forbid"]
    for method in ("greedy", "beam", "diverse_beam", "consensus", "sample"):
        rows = rows_of(
            cli, tmp_path / "rows.json", *photos, "--model", tiny_run, *rules, "--set", f"sampling.method={method}"
        )
        for row in rows:
            words = row["caption"].lower().split()
            assert word not in words
            assert 6 <= len(words) == len(set(words))
            assert words[-1] not in ("a", "the", "of", "with")


def test_banned_words_that_the_model_does_not_know(cli: Any, tiny_run: Path, tiny_file: Path, tmp_path: Path) -> None:
    expected = [
        "error: sampling.banned_words: 'Circle' is not in the model's vocabulary, did you mean 'circle'?",
        "       a word that is not in the vocabulary is never produced: leave it out, or name the one you mean",
    ]
    banned = ["--set", "sampling.banned_words=[Circle]"]
    for arguments in (["caption", "x.png", "--model", tiny_run], ["evaluate", "--model", tiny_run]):
        finished = cli(*arguments, *banned, "--quiet")
        assert (finished.status, finished.err.splitlines()) == (2, expected)
    training = cli("train", "--config", tiny_file, "--run", tmp_path / "run", *banned, "--quiet")
    assert (training.status, training.err.splitlines()) == (2, expected)


def test_models_caption_together(cli: Any, tiny_run: Path, other_run: Path, photos: list[Path], tmp_path: Path) -> None:
    exact = ["--set", "training.precision=float32", "--set", "sampling.beam_size=2", "--set", "sampling.method=beam"]
    one = rows_of(cli, tmp_path / "1.json", *photos, "--model", tiny_run, *exact)
    twins = rows_of(cli, tmp_path / "2.json", *photos, "--model", tiny_run, "--model", tiny_run, *exact)
    assert [row["caption"] for row in twins] == [row["caption"] for row in one]
    assert [row["log_prob"] for row in twins] == pytest.approx([row["log_prob"] for row in one], abs=2e-4)

    both = rows_of(cli, tmp_path / "3.json", *photos, "--model", tiny_run, "--model", other_run, *exact)
    turned = rows_of(cli, tmp_path / "4.json", *photos, "--model", other_run, "--model", tiny_run, *exact)
    assert [row["caption"] for row in turned] == [row["caption"] for row in both]
    assert [row["log_prob"] for row in turned] == pytest.approx([row["log_prob"] for row in both], abs=2e-4)
    assert [row["log_prob"] for row in both] != [row["log_prob"] for row in one]

    captioner = Captioner.load(
        tiny_run, other_run, sampling=SamplingConfig(beam_size=2, max_length=8), device="cpu", precision="float32"
    )
    opened = [Image.open(photo) for photo in photos]
    assert [caption.text for caption in captioner.caption(opened)] == [row["caption"] for row in both]

    # A folder's manifest tells the models apart, and the first one from both.
    command = ["caption", *photos, "--output", tmp_path / "3.json", *exact, "--model", tiny_run]
    known = f"captioned 0 of 6 pictures into {tmp_path}/3.json; 6 known from before"
    assert cli(*command, "--model", other_run).err.splitlines()[-1] == known
    assert cli(*command).err.splitlines()[-1] == f"captioned 6 of 6 pictures into {tmp_path}/3.json"


def test_models_are_scored_together(cli: Any, tiny_run: Path, other_run: Path, shapes: Path, tmp_path: Path) -> None:
    """Their scores are those of the captions that ``caption`` writes, though features come from their stores."""
    models = ["--model", tiny_run, "--model", other_run, "--set", "training.precision=float32"]
    # The settings are the first model's; each model's features are where its own config says, so nothing is set here.
    finished = cli("evaluate", *models, "--split", "test", "--json", "--quiet")
    assert (finished.status, finished.err) == (0, "")
    scores = json.loads(finished.out)
    assert (scores["images"], scores["sampling"]["beam_size"]) == (8, 2)
    entries = [one for one in json.loads((shapes / "shapes.json").read_text())["images"] if one["split"] == "test"]
    rows = rows_of(cli, tmp_path / "rows.json", *(shapes / "images" / one["filename"] for one in entries), *models)
    found = [{"image_id": entry["imgid"], "caption": row["caption"]} for entry, row in zip(entries, rows, strict=True)]
    known = {
        "images": [{"id": entry["imgid"]} for entry in entries],
        "annotations": [
            {"id": 0, "image_id": entry["imgid"], "caption": one["raw"]}
            for entry in entries
            for one in entry["sentences"]
        ],
    }
    (tmp_path / "found.json").write_text(json.dumps(found))
    (tmp_path / "known.json").write_text(json.dumps(known))
    files = ["--predictions", tmp_path / "found.json", "--references", tmp_path / "known.json"]
    expected = json.loads(cli("evaluate", *files, "--json", "--quiet").out)
    for name in ("Bleu_4", "ROUGE_L", "CIDEr"):
        assert scores[name] == pytest.approx(expected[name], abs=1e-9)

    alone = [
        json.loads(cli("evaluate", "--model", run, "--split", "test", "--json", "--quiet", *models[4:]).out)[
            "perplexity"
        ]
        for run in (tiny_run, other_run)
    ]
    # The mean of two probabilities is at least their geometric mean, and at most the greater one.
    assert scores["perplexity"] < (alone[0] * alone[1]) ** 0.5
    shown = cli("evaluate", *models, "--split", "test", "--quiet")
    assert dict(shown.rows)["CIDEr"] == f"{scores['CIDEr']:.4f}"


def test_models_with_other_vocabularies_are_refused(
    cli: Any, tiny_run: Path, tiny_file: Path, photos: list[Path], tmp_path_factory: pytest.TempPathFactory
) -> None:
    small = trained(tiny_file, tmp_path_factory, "vocab.min_count=20")
    for arguments in (["caption", photos[0]], ["evaluate"]):
        finished = cli(*arguments, "--model", tiny_run, "--model", small)
        assert (finished.status, finished.out) == (2, "")
        assert finished.err.splitlines() == [
            f"error: {tiny_run} and {small} have different vocabularies: their words cannot be averaged",
            "       name models that were trained on the same captions with the same vocab.min_count",
        ]


def test_models_of_other_pictures_are_not_scored_together(
    cli: Any, tiny_run: Path, tiny_config: Config, tmp_path: Path
) -> None:
    generate_shapes(tmp_path / "fewer", images=40, seed=1)
    moved = tmp_path / "moved"
    shutil.copytree(tiny_run / "best", moved)
    index = json.loads((moved / "checkpoint.json").read_text())
    index["config"]["dataset"].update(root=str(tmp_path / "fewer"), size=40)
    index["config"]["features"]["path"] = str(tmp_path / "features")
    (moved / "checkpoint.json").write_text(json.dumps(index))
    finished = cli("evaluate", "--model", tiny_run, "--model", moved, "--quiet")
    assert finished.status == 2
    assert finished.err.splitlines() == [
        f"error: {tiny_run} and {moved} were trained on different data sets: 'val' has other pictures",
        "       name models of the same data set, or one for all by --set dataset.root=... and dataset.format=...",
    ]
