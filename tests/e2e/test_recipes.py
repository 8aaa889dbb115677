"""Every recipe trains for a few steps with its own encoder and decoder, on built-in pictures and random weights."""

from pathlib import Path

import pytest
import torch
import yaml
from torchvision.models import get_model

from captioner.config import DatasetConfig
from captioner.data.annotations import load_dataset
from captioner.text import tokenize

RECIPES = sorted(Path(__file__).parents[2].joinpath("examples", "recipes").glob("*.yaml"))
SMALL = {
    "dataset": {"format": "shapes", "root": "shapes", "size": 40},
    "vocab": {"min_count": 1},
    "encoder": {"weights": "random.pth", "image_size": 75},  # The least that Inception takes.
    "training": {"epochs": 1, "batch_size": 16, "patience": 1},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where recipes find their data: the shapes, and word vectors for the shapes' words."""
    folder = tmp_path_factory.mktemp("recipes")
    shapes = load_dataset(DatasetConfig(format="shapes", root=str(folder / "shapes"), size=40))
    words = sorted({word for record in shapes.records for text in record.captions for word in tokenize(text)})
    lines = [
        " ".join([word, *(f"{(place * 7 + number) % 5 - 2}" for number in range(300))])
        for place, word in enumerate(words)
    ]
    (folder / "glove.6B.300d.txt").write_text("\n".join(lines) + "\n")
    return folder


@torch.no_grad()
def tame(network: torch.nn.Module) -> torch.nn.Module:
    """With batch norms that have seen pictures: without, what a hundred random layers give is beyond all numbers."""
    network.eval()
    for part in network.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            part.train().momentum = 1.0
    network(torch.randn(4, 3, 96, 96))
    return network


@pytest.mark.slow
@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_recipe_trains(recipe: Path, folder: Path, cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    config = yaml.safe_load(recipe.read_text())
    for section, values in SMALL.items():
        config.setdefault(section, {}).update(values)
    torch.manual_seed(0)
    backbone = config["encoder"]["backbone"]
    options = {"zero_init_residual": True} if backbone.startswith("resnet") else {"init_weights": False}
    torch.save(tame(get_model(backbone, weights=None, **options)).state_dict(), "random.pth")
    Path(recipe.name).write_text(yaml.safe_dump(config))
    result = cli("train", "--config", recipe.name, "--run", recipe.stem)
    assert result.status == 0, result.err
    assert "best validation CIDEr" in result.out + result.err


def test_there_is_a_recipe_for_each_system() -> None:
    assert len(RECIPES) == 6
