"""The whole path on real photographs: vocab, preprocess, train, evaluate, caption, inspect."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="module")
def config(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """200 photos of Flickr8k to train on, 40 to validate on, and the encoder's real weights."""
    source, root = real_data / "flickr8k", tmp_path_factory.mktemp("flickr")
    wanted: list[str] = []
    for split, count in (("train", 200), ("dev", 40)):
        names = (source / f"Flickr_8k.{split}Images.txt").read_text().split()[:count]
        (root / f"Flickr_8k.{split}Images.txt").write_text("\n".join(names) + "\n")
        wanted += names
    lines = (source / "Flickr8k.token.txt").read_text("utf-8").splitlines()
    chosen = set(wanted)
    kept = [line for line in lines if line.split("#")[0] in chosen]
    (root / "Flickr8k.token.txt").write_text("\n".join(kept) + "\n", "utf-8")
    path = root / "config.yaml"
    path.write_text(
        f"dataset:\n  format: flickr\n  root: {root}\n  images: {source / 'Images'}\n"
        f"vocab:\n  min_count: 2\n"
        f"encoder:\n  backbone: mobilenet_v2\n  weights: {real_data / 'encoders' / 'mobilenet_v2-imagenet.pth'}\n"
        f"features:\n  path: {root / 'features'}\n"
        "decoder:\n  type: attention\n  embedding_size: 128\n  hidden_size: 128\n  attention_size: 64\n"
        "training:\n  epochs: 5\n  batch_size: 16\n  learning_rate: 0.005\n  warmup_steps: 5\n"
        "sampling:\n  beam_size: 3\n"
    )
    return path


def test_the_whole_path(cli: Callable[..., Any], config: Path, real_data: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"

    vocab = cli("vocab", "--config", config, "--json", "--quiet")
    assert vocab.status == 0
    assert 500 < json.loads(vocab.out)["size"] < 1500
    assert 0 < json.loads(vocab.out)["unknown_rate"]["val"] < 0.3

    preprocess = cli("preprocess", "--config", config)
    assert preprocess.status == 0, preprocess.err
    assert preprocess.err.splitlines()[-1].startswith("240 pictures' features are in ")

    train = cli("train", "--config", config, "--run", run)
    assert train.status == 0, train.err
    assert not [line for line in train.err.splitlines() if line.startswith("computing features")]
    losses = [json.loads(line)["loss"] for line in (run / "log.jsonl").read_text().splitlines()]
    assert len(losses) == 5
    assert losses == sorted(losses, reverse=True)

    evaluate = cli("evaluate", "--model", run, "--split", "dev", "--json", "--quiet")
    assert evaluate.status == 0, evaluate.err
    scores = json.loads(evaluate.out)
    assert scores["images"] == 40
    assert scores["Bleu_1"] > 0.2  # Hardly more than its commonest words, and yet no noise.
    assert 1 < scores["perplexity"] < 500

    photos = sorted((real_data / "photos").iterdir())
    caption = cli("caption", real_data / "photos", "--model", run, "--quiet")
    assert caption.status == 0, caption.err
    assert [row[0] for row in caption.rows] == [str(photo) for photo in photos]
    assert all(len(row) == 2 and row[1] for row in caption.rows)

    inspect = cli("inspect", run, "--json")
    assert inspect.status == 0
    said = json.loads(inspect.out)
    assert said["encoder"]["features"] == {"positions": 49, "size": 1280}
    assert said["training"]["pictures"] == {"train": 200, "val": 40}


def test_the_encoder_sees_what_it_should(real_data: Path) -> None:
    """As the data's own note says, parrot.jpg is a macaw and cat_720p.jpg a cat."""
    import torch
    from torchvision import models

    from captioner.data.images import load_image
    from captioner.model.encoder import Encoder

    weights = real_data / "encoders" / "mobilenet_v2-imagenet.pth"
    encoder = Encoder.from_settings("mobilenet_v2", weights=str(weights), grid=None, fine_tune=False, image_size=None)
    whole = models.mobilenet_v2()
    whole.load_state_dict(torch.load(weights, weights_only=True))
    names = models.MobileNet_V2_Weights.DEFAULT.meta["categories"]
    with torch.no_grad():
        for photo, seen in (("parrot.jpg", "macaw"), ("cat_720p.jpg", "cat")):
            pixels = load_image(real_data / "photos" / photo, encoder.transform)
            scores = whole.eval().classifier(encoder(pixels.unsqueeze(0)).mean(dim=1)).softmax(dim=1)[0]
            assert seen in names[int(scores.argmax())]
            if seen == "macaw":
                assert scores.max() > 0.8  # The note's 0.9 is at 256 pixels; torchvision's newer preset resizes to 232.
