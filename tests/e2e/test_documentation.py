"""Every command of the README and of what goes on from it runs, in order, on small data such as a reader has."""

import re
import shlex
import shutil
from pathlib import Path

import pytest
import yaml
from PIL import Image

from captioner.config import DatasetConfig
from captioner.data.annotations import load_dataset

REPOSITORY = Path(__file__).parents[2]
FURTHER = (
    *("docs/captioning.md", "docs/quickstart.md", "docs/tutorial.md", "docs/evaluation.md"),
    *("docs/python-api.md", "docs/export.md", "docs/doctor.md"),
)
"""What goes on from the README, in this order."""
SMALL = {
    "dataset": {"size": 60},
    "vocab": {"min_count": 1},
    "encoder": {"backbone": "resnet18", "weights": "none", "image_size": 64, "grid": 2},
    "decoder": {"hidden_size": 16, "embedding_size": 16, "attention_size": 16},
    "training": {"epochs": 1, "batch_size": 16},
}


def blocks(language: str, file: str = "README.md") -> list[str]:
    """The code blocks of a language in a document."""
    return re.findall(rf"```{language}\n(.*?)```", (REPOSITORY / file).read_text(), re.DOTALL)


def commands() -> list[list[str]]:
    """The captioner commands of the README, and of the documents that go on from there, as words."""
    several = [block for file in ("README.md", *FURTHER) for block in blocks("bash", file)]
    lines = [line for block in several for line in block.splitlines()]
    parts = [part.strip() for line in lines for part in line.split("&&")]
    return [shlex.split(part)[1:] for part in parts if part.startswith("captioner ")]


def small(text: str, **dataset: int) -> str:
    """A config that trains in seconds."""
    config = yaml.safe_load(text)
    for section, values in (*SMALL.items(), ("dataset", dataset)):
        config.setdefault(section, {}).update(values)
    config["encoder"].pop("last_stage", None)
    if isinstance(config["encoder"].get("fine_tune"), str):
        config["encoder"]["fine_tune"] = "layer4"
    return yaml.safe_dump(config)


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as a reader of the README has it: examples made small, Flickr8k, photographs with and without texts."""
    folder = tmp_path_factory.mktemp("reader")
    (folder / "examples").mkdir()
    for example in (REPOSITORY / "examples").glob("*.yaml"):
        (folder / "examples" / example.name).write_text(small(example.read_text()))
    (folder / "photos.yaml").write_text(small(blocks("yaml", "docs/tutorial.md")[0]))
    # Drawn by the command before, the shapes are as many as ever.
    (folder / "quickstart.yaml").write_text(small((REPOSITORY / "examples/shapes.yaml").read_text(), size=4000))
    shapes = load_dataset(DatasetConfig(format="shapes", root=str(folder / "other"), size=60))
    images = folder / "Flickr8k" / "Images"
    images.mkdir(parents=True)
    tokens = []
    for record in shapes.records:
        shutil.copy(record.file, images / record.file.name)
        tokens += [f"{record.file.name}#{number}\t{text}" for number, text in enumerate(record.captions)]
    (folder / "Flickr8k" / "Flickr8k.token.txt").write_text("\n".join(tokens) + "\n")
    for split, name in (("train", "trainImages"), ("val", "devImages"), ("test", "testImages")):
        names = [record.file.name for record in shapes.split(split)]
        (folder / "Flickr8k" / f"Flickr_8k.{name}.txt").write_text("\n".join(names) + "\n")
    (folder / "photos" / "town").mkdir(parents=True)
    for number, record in enumerate(shapes.records):
        copy = folder / "photos" / ("town" if number % 2 else "") / f"{record.file.stem}.jpg"
        Image.open(record.file).save(copy)
        copy.with_suffix(".txt").write_text("\n".join(record.captions) + "\n")
    (folder / "data").mkdir()
    (folder / "holiday").mkdir()
    for name in ("beach.jpg", "climber.jpg", "holiday/hill.png"):
        shutil.copy(shapes.records[0].file, folder / name)
    return folder


@pytest.mark.slow
def test_readme_commands_run_in_order(reader: Path, cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(reader)
    monkeypatch.setattr("captioner.quickstart.CONFIG", reader / "quickstart.yaml")
    seen = []
    for words in commands():
        result = cli(*words)
        assert result.status == 0, (words, result.err)
        seen.append(words[0])
    assert {"quickstart", "train", "inspect", "evaluate", "compare", "caption", "vocab"} <= set(seen)
    assert (reader / "quickstart/run/curves.html").exists()
    assert (reader / "captions.csv").read_text().startswith("file,caption,log_prob,confidence,error\n")
    assert "<article>" in (reader / "differences.html").read_text()
    for block in (block for page in ("README.md", *FURTHER) for block in blocks("python", page)):
        exec(compile(block, "a document", "exec"), {})


@pytest.mark.slow
@pytest.mark.parametrize("example", sorted(path.name for path in (REPOSITORY / "examples").glob("*.yaml")))
def test_every_example_trains(example: str, reader: Path, cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(reader)

    def train(example: str, run: str) -> None:
        beginning = yaml.safe_load(Path("examples", example).read_text())["training"].get("begin_with")
        if beginning is not None and not Path(beginning).exists():
            train(f"{Path(beginning).name}.yaml", beginning)
        result = cli("train", "--config", f"examples/{example}", "--run", run)
        assert result.status == 0, result.err

    train(example, f"tried/{example}")
    assert cli("inspect", f"tried/{example}").status == 0


def test_links_lead_somewhere() -> None:
    for document in [REPOSITORY / "README.md", *(REPOSITORY / "docs").glob("*.md")]:
        for link in re.findall(r"\]\((?!https?://)([^)]+)\)", document.read_text()):
            target, _, anchor = link.partition("#")
            file = document.parent / target if target else document
            assert file.exists(), f"{document.name} links to {target}, which is not there"
            assert not anchor or anchor in anchors(file), f"{document.name} links to {link}, where no heading is such"


def anchors(document: Path) -> set[str]:
    """Of a document's headings, as web pages of repositories name them."""
    headings = re.findall(r"^#+ (.+)$", document.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_document_is_in_the_index() -> None:
    named = set(re.findall(r"\]\(([\w-]+\.md)", (REPOSITORY / "docs" / "README.md").read_text()))
    assert {path.name for path in (REPOSITORY / "docs").glob("*.md")} == {*named, "README.md"}
