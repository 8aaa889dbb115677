"""Lint on real photographs: nothing but what is there, and every planted copy."""

from pathlib import Path

import pytest
from PIL import Image

from captioner.config import Config, DatasetConfig
from captioner.data.lint import lint_dataset
from captioner.data.lint.report import Report
from captioner.events import ignore


def lint(root: Path) -> Report:
    return lint_dataset(Config(dataset=DatasetConfig(format="flickr", root=str(root))), ignore)


def test_flickr8k_has_two_things_worth_a_note(real_data: Path) -> None:
    report = lint(real_data / "flickr8k")
    assert [(one.severity, one.kind, one.count) for one in report.findings] == [
        ("note", "duplicate-captions", 18),
        ("note", "same-picture-in-split", 1),
    ]
    assert report.findings[1].examples == ("3050606344_af711c726c.jpg (train) = 2851198725_37b6027625.jpg (train)",)
    splits = report.statistics["splits"]
    assert [(splits[split]["pictures"], splits[split]["captions"]) for split in splits] == [(6000, 30000), (1000, 5000)]
    assert 0.02 < splits["train"]["unknown_rate"] < splits["val"]["unknown_rate"] < 0.04
    assert sum(report.statistics["caption_lengths"].values()) == 35000


def test_copies_of_training_photos_are_found_in_dev(
    real_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 500 copies in five forms at least 98 % (one photo in eighty is too plain), and no pair that is none."""
    source = real_data / "flickr8k"
    train = (source / "Flickr_8k.trainImages.txt").read_text().split()[::6][:500]
    dev = (source / "Flickr_8k.devImages.txt").read_text().split()
    folder = tmp_path / "Images"
    folder.mkdir()
    for name in train + dev:
        (folder / name).symlink_to((source / "Images" / name).absolute())
    for number, name in enumerate(train):
        image = Image.open(source / "Images" / name).convert("RGB")
        copies = (
            image,
            image.resize((120, 90)),
            image.resize((500, 375), Image.Resampling.BICUBIC),
            image.crop((11, 11, 213, 213)),  # A twentieth off each side.
            image.crop((11, 6, 224, 224)),
        )
        copies[number % 5].save(folder / f"copy-{name}", quality=40 if number % 5 == 0 else 80)
    held_out = [*dev, *(f"copy-{name}" for name in train)]
    tokens = [f"{name}#0\tA dog runs ." for name in [*train, *held_out]]
    (tmp_path / "Flickr8k.token.txt").write_text("\n".join(tokens) + "\n")
    (tmp_path / "Flickr_8k.trainImages.txt").write_text("\n".join(train) + "\n")
    (tmp_path / "Flickr_8k.devImages.txt").write_text("\n".join(held_out) + "\n")
    monkeypatch.setattr("captioner.data.lint.report._EXAMPLES", 1000)
    (finding,) = lint(tmp_path).findings
    assert (finding.kind, finding.severity) == ("similar-pictures-across-splits", "error")
    assert set(finding.examples) <= {f"{name} (train) = copy-{name} (val)" for name in train}
    assert finding.count == len(finding.examples) >= 490
