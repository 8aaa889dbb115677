"""A checkpoint -> two ONNX graphs and a JSON file, enough to caption without torch or captioner, compared with torch.

``encoder.onnx`` makes a state of pictures, ``step.onnx`` moves it on by a word; the search stays outside, since loops
whose length depends on what they find do not export. docs/export.md describes the tensors.
"""

import json
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from captioner import __version__
from captioner.checkpoint.reading import Checkpoint, load_checkpoint
from captioner.constraints import rules_of
from captioner.data.images import load_image, stack_images
from captioner.data.shapes.drawing import Pixels, draw
from captioner.data.shapes.scenes import scene
from captioner.errors import ImageError, ModelError, UsageError
from captioner.events import Listener, Note
from captioner.files import atomic_write, write_text
from captioner.model.graphs import Encode, Step, growing
from captioner.parallel import chunked

TOLERANCE = 1e-4
"""Largest difference between torch's log-probability of a word and the graphs', with which a model is written."""
_OPSET = 18  # What onnxruntime reads since 1.15.
_AT_ONCE = 16
_NEEDED = ("onnx", "onnxscript", "onnxruntime")
_Dimensions = dict[int, torch.export.Dim]


@dataclass(frozen=True)
class Exported:
    """What was written."""

    files: tuple[Path, ...]
    difference: float
    """Largest difference between a word's log-probability by torch and by the graphs."""
    pictures: int
    steps: int
    """Words of each picture's caption, as torch chooses them, after which all words' probabilities were compared."""


def export_model(path: Path, folder: Path, pictures: Sequence[str], listener: Listener) -> Exported:
    """Write the model at ``path`` into ``folder``, unless it differs from torch on ``pictures``, or on drawn ones.

    Raises ``UsageError`` where an extra is missing, ``ImageError`` at a picture that cannot be read, and ``ModelError``
    where the graphs cannot be made or differ by more than ``TOLERANCE``; then nothing is written.
    """
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        raise UsageError(
            f"export needs {', '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} not installed",
            "install it: pip install 'captioner[export]'",
        )
    checkpoint = load_checkpoint(path)
    sources: Sequence[Path | Pixels] = [Path(name) for name in pictures] or [draw(scene(1, at)) for at in range(8)]
    batches = [_pixels(batch, checkpoint) for batch in chunked(sources, _AT_ONCE)]
    graphs = _Graphs(checkpoint)
    listener(Note("tracing the encoder and a step of the decoder"))
    encoder, step = graphs.encoder.to_onnx(), graphs.step.to_onnx()
    listener(Note(f"comparing them with torch on {len(sources):,} pictures"))
    difference = graphs.largest_difference(encoder, step, batches)
    if not difference <= TOLERANCE:  # NaN is no small difference.
        raise ModelError(
            f"the exported graphs differ from torch by {difference:.1e}, more than {TOLERANCE:.0e}",
            "nothing was written: try another version of torch, onnxscript or onnxruntime",
        )
    files = (folder / "encoder.onnx", folder / "step.onnx", folder / "model.json")
    for file, content in zip(files, (encoder, step), strict=False):
        with atomic_write(file) as stream:
            stream.write(content)
    description = json.dumps(_description(checkpoint, graphs), indent=2, ensure_ascii=False)
    write_text(files[2], description + "\n")
    return Exported(files, difference, len(sources), graphs.rules.max_length)


@dataclass(frozen=True)
class _Graph:
    """A function of tensors, with what tracing it needs."""

    module: nn.Module
    examples: tuple[Tensor, ...]
    dimensions: Any
    """Those of the examples that are open: for each argument, by its number."""
    inputs: list[str]
    outputs: list[str]

    def to_onnx(self) -> bytes:
        """Raises ``ModelError`` where torch cannot."""
        try:
            with warnings.catch_warnings(), torch.no_grad():
                warnings.simplefilter("ignore")  # Of the exporter's own workings.
                traced = torch.export.export(self.module, self.examples, dynamic_shapes=self.dimensions, strict=False)
                program = torch.onnx.export(
                    traced, dynamo=True, verbose=False, opset_version=_OPSET,
                    input_names=self.inputs, output_names=self.outputs,
                )  # fmt: skip
            assert program is not None
            proto = program.model_proto
            for node in proto.graph.node:  # Which line of which file on this machine each came from.
                del node.metadata_props[:]
            return bytes(proto.SerializeToString())
        except Exception as error:  # The exporter, its converters and protobuf raise whatever they like.
            reason = next(iter(str(error).splitlines()), type(error).__name__)
            raise ModelError(
                f"torch {torch.__version__} cannot export this model: {reason}",
                "try another version of torch and onnxscript; a decoder of your own must suit torch.export",
            ) from error


class _Graphs:
    """The encoder and the step, and torch's own answers to compare with."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        model = checkpoint.model.for_inference(torch.device("cpu"), torch.float32)
        self.rules = rules_of(checkpoint.vocabulary, checkpoint.config.sampling)
        begin, side = Encode(model).eval(), model.encoder.transform.crop
        # Two pictures, and a state after two words: what is 0 or 1 in an example would be taken for a constant.
        pixels = torch.zeros(2, 3, side, side, dtype=torch.uint8)
        words = torch.full((2,), self.rules.start)
        with torch.no_grad():
            states = [model.decoder.start(model.features(pixels))]
            for _ in range(2):
                states.append(model.decoder.step(words, states[-1])[1])
        self.rows = [f"row_{number}" for number in range(len(states[0].rows))]
        self.images = [f"image_{number}" for number in range(len(states[0].images))]
        names = [*self.rows, *self.images]
        batch, past = torch.export.Dim("batch"), torch.export.Dim("past")
        open_rows: list[_Dimensions] = [{0: batch} | dict.fromkeys(grown, past) for grown in growing(*states[:2])]
        open_state = (*open_rows, *({0: batch} for _ in self.images))
        state = [part.clone(memory_format=torch.contiguous_format) for part in (*states[2].rows, *states[2].images)]
        outputs = ["log_probs", *(f"next_{name}" for name in self.rows)]
        step = Step(model.decoder, len(self.rows)).eval()
        self.encoder = _Graph(begin, (pixels,), ({0: batch},), ["pixels"], names)
        self.step = _Graph(step, (words, *state), ({0: batch}, open_state), ["words", *names], outputs)

    @torch.no_grad()
    def largest_difference(self, encoder: bytes, step: bytes, batches: Iterable[Tensor]) -> float:
        """Of pictures (B, 3, H, W), uint8; each side goes on from its own state, with torch's likeliest words."""
        from onnxruntime import InferenceSession

        sessions = [InferenceSession(graph, providers=["CPUExecutionProvider"]) for graph in (encoder, step)]
        count, differences = len(self.rows), [torch.tensor(0.0)]
        for pixels in batches:
            ours, theirs = self.encoder.module(pixels), sessions[0].run(None, {"pixels": pixels.numpy()})
            images, their_images = ours[count:], dict(zip(self.images, theirs[count:], strict=True))
            words = torch.full((len(pixels),), self.rules.start)
            for _ in range(self.rules.max_length):
                their_rows = dict(zip(self.rows, theirs[:count], strict=True))
                log_probs, *ours = self.step.module(words, *ours[:count], *images)
                given = {"words": words.numpy(), **their_rows, **their_images}
                their_log_probs, *theirs = sessions[1].run(None, given)
                differences.append((log_probs - torch.from_numpy(their_log_probs)).abs().amax())
                log_probs[:, list(self.rules.never)] = -torch.inf
                words = log_probs.argmax(dim=1)
        return float(torch.stack(differences).amax())


def _pixels(pictures: Sequence[Path | Pixels], checkpoint: Checkpoint) -> Tensor:
    """Pictures as the encoder wants them: (B, 3, H, W), uint8."""
    images = []
    for picture in pictures:
        try:
            images.append(load_image(picture, checkpoint.model.encoder.transform))
        except ImageError as error:
            raise ImageError(f"{picture}: {error.problem}", error.remedy) from None
    return stack_images(images).contiguous()


def _description(checkpoint: Checkpoint, graphs: _Graphs) -> dict[str, Any]:
    rules = graphs.rules
    return {
        "format": "captioner onnx",
        "version": 1,
        "transform": checkpoint.model.encoder.transform.to_json(),
        "start": rules.start,
        "end": rules.end,
        "never": list(rules.never),
        "max_length": rules.max_length,
        "rows": graphs.rows,
        "images": graphs.images,
        "words": list(checkpoint.vocabulary.words),
        "sampling": checkpoint.config.sampling.model_dump(),
        "versions": {"captioner": __version__, "torch": version("torch"), "onnxscript": version("onnxscript")},
        "provenance": checkpoint.provenance,
    }
