"""Graphs caption as torch does, for every decoder, in the program that examples/ has; wrong ones are not written."""

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from decoder_cases import KINDS
from onnxruntime import InferenceSession

import captioner.export
from captioner.checkpoint.reading import load_checkpoint, save_checkpoint
from captioner.errors import ModelError, UsageError
from captioner.events import ignore
from captioner.export import export_model
from captioner.model.build import CaptionModel, build_decoder

EXAMPLE = Path(__file__).parents[2] / "examples" / "python" / "onnx_caption.py"


def another_decoder(run: Path, folder: Path, kind: str, bias: float = 0.0) -> Path:
    """A checkpoint as that of ``run``, with random weights of another decoder."""
    known = load_checkpoint(run)
    settings = known.config.decoder.model_dump() | {"hidden_size": 16, "embedding_size": 12} | KINDS[kind]
    config = known.config.model_validate({**known.config.model_dump(), "decoder": settings})
    torch.manual_seed(0)
    decoder = build_decoder(config.decoder, known.model.encoder.feature_shape()[1], len(known.vocabulary))
    for parameter in decoder.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    decoder.output_bias.data += bias
    save_checkpoint(folder, CaptionModel(known.model.encoder, decoder), known.vocabulary, config, known.provenance)
    return folder


def captions_without_torch(folder: Path, files: list[Path]) -> list[str]:
    """What the example says, in a process that cannot import torch or captioner."""
    code = (
        "import runpy, sys\n"
        "sys.modules['torch'] = sys.modules['captioner'] = None\n"
        "sys.argv = sys.argv[1:]\n"
        "runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    command = [sys.executable, "-c", code, str(EXAMPLE), str(folder), *map(str, files)]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    return finished.stdout.splitlines()


def greedy(cli: Any, model: Path, files: list[Path]) -> list[str]:
    settings = ["--set", "sampling.method=greedy", "--set", "training.precision=float32"]
    return [row[1].lower() for row in cli("caption", *files, "--model", model, *settings).rows]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["lstm-every-2", "lstm-first", "refined-transformer"])
def test_every_decoder_captions_without_torch(
    kind: str, tiny_run: Path, shapes: Path, tmp_path: Path, cli: Any
) -> None:
    model = another_decoder(tiny_run, tmp_path / "model", kind)
    pictures = sorted(shapes.rglob("*.png"))[:3]
    finished = cli("export", model, "--pictures", pictures[0], "--pictures", pictures[1])
    assert finished.status == 0, finished.err
    folder = model / "onnx"
    assert [row[0] for row in finished.rows] == [str(folder / name) for name in FILES]
    tracing, comparing, done = finished.err.splitlines()
    assert tracing == "tracing the encoder and a step of the decoder"
    assert comparing == "comparing them with torch on 2 pictures"
    before, _, after = done.partition("largest difference from torch: ")
    number, _, rest = after.partition(" ")
    assert (before, rest) == ("", "(1e-04 is allowed), over 2 pictures and 8 words each")
    assert float(number) <= 1e-4
    assert captions_without_torch(folder, pictures) == greedy(cli, model, pictures)


FILES = ("encoder.onnx", "step.onnx", "model.json")


@pytest.mark.slow
def test_photographs_are_captioned_alike(tiny_run: Path, tmp_path: Path, real_data: Path, cli: Any) -> None:
    photos = [*sorted((real_data / "photos").iterdir()), *sorted((real_data / "flickr8k/Images").glob("10*.jpg"))[:8]]
    folder = tmp_path / "onnx"
    exported = export_model(tiny_run, folder, [str(photo) for photo in photos], ignore)
    assert exported.difference <= 1e-4
    assert (exported.pictures, exported.steps) == (len(photos), 8)
    assert captions_without_torch(folder, photos) == greedy(cli, tiny_run, photos)


@pytest.mark.slow
def test_a_batch_is_as_its_pictures_and_nothing_of_this_machine_is_inside(tiny_run: Path, tmp_path: Path) -> None:
    model = another_decoder(tiny_run, tmp_path / "model", "transformer")
    folder = tmp_path / "onnx"
    assert export_model(model, folder, [], ignore).pictures == 8
    encoder, step = (InferenceSession(folder / name) for name in FILES[:2])
    described = json.loads((folder / "model.json").read_text())
    assert {one.name for one in step.get_inputs()} == {"words", *described["rows"], *described["images"]}
    assert [one.name for one in step.get_outputs()] == ["log_probs", *(f"next_{name}" for name in described["rows"])]
    assert described["words"] == list(load_checkpoint(tiny_run).vocabulary.words)
    pixels = np.random.default_rng(1).integers(0, 256, (5, 3, 64, 64), dtype=np.uint8)
    together = chain(encoder, step, described, pixels)
    one_by_one = np.concatenate([chain(encoder, step, described, pixels[at : at + 1]) for at in range(5)])
    np.testing.assert_allclose(together, one_by_one, atol=1e-5)
    for name in FILES:
        content = (folder / name).read_bytes()
        assert b".py" not in content
        assert str(tmp_path).encode() not in content


def chain(encoder: Any, step: Any, described: dict[str, Any], pixels: np.ndarray) -> np.ndarray:
    """Log-probabilities after three words, the same for all pictures."""
    state = dict(zip(described["rows"] + described["images"], encoder.run(None, {"pixels": pixels}), strict=True))
    for word in (described["start"], 5, 7):
        log_probs, *rows = step.run(None, {"words": np.full(len(pixels), word), **state})
        state.update(zip(described["rows"], rows, strict=True))
    return log_probs


@pytest.mark.slow
def test_graphs_that_differ_are_not_written(tiny_run: Path, tmp_path: Path) -> None:
    model = another_decoder(tiny_run, tmp_path / "model", "lstm-first", bias=float("nan"))
    with pytest.raises(ModelError) as caught:
        export_model(model, tmp_path / "onnx", [], ignore)
    assert caught.value.problem == "the exported graphs differ from torch by nan, more than 1e-04"
    assert not (tmp_path / "onnx").exists()


def test_a_model_that_torch_cannot_export(tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise RuntimeError("no such operator\nand many more lines")

    monkeypatch.setattr(torch.export, "export", refuse)
    with pytest.raises(ModelError) as caught:
        export_model(tiny_run, tmp_path / "onnx", [], ignore)
    assert caught.value.problem == f"torch {torch.__version__} cannot export this model: no such operator"
    assert caught.value.remedy == (
        "try another version of torch and onnxscript; a decoder of your own must suit torch.export"
    )


@pytest.mark.parametrize(
    ("absent", "named"),
    [({"onnxscript"}, "onnxscript, which is"), ({"onnx", "onnxruntime"}, "onnx, onnxruntime, which are")],
)
def test_the_extra_is_missing(absent: set[str], named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(captioner.export, "find_spec", lambda name: None if name in absent else find_spec(name))
    with pytest.raises(UsageError) as caught:
        export_model(tmp_path, tmp_path, [], ignore)
    assert caught.value.problem == f"export needs {named} not installed"
    assert caught.value.remedy == "install it: pip install 'captioner[export]'"


def test_a_picture_that_cannot_be_read(tiny_run: Path, tmp_path: Path, cli: Any) -> None:
    finished = cli("export", tiny_run, "--pictures", tmp_path / "none.jpg")
    assert finished.status == 1
    assert finished.err.splitlines() == [f"error: {tmp_path}/none.jpg: no such file"]
