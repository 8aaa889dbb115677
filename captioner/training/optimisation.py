"""One step of training: loss, gradients, clipping, learning rate and AdamW."""

import math
from contextlib import nullcontext
from dataclasses import dataclass
from inspect import signature
from itertools import pairwise
from typing import Any

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from captioner import processes
from captioner.batch import Batch
from captioner.config import Config
from captioner.errors import TrainingError
from captioner.memory import out_of_memory, return_freed_memory
from captioner.model.build import CaptionModel
from captioner.training.average import WeightAverage
from captioner.training.objectives import Objective
from captioner.training.schedule import learning_rate_factor

_MULTIPLYING = (nn.Linear, nn.modules.conv._ConvNd, nn.RNNBase, nn.RNNCellBase, nn.MultiheadAttention)
_EXPLODED = 5.0  # Times the loss of a model that knows nothing and finds all words equally likely.
_RENAMED = "forward_sync_buffers" in signature(DistributedDataParallel).parameters  # From torch 2.15 on.
_NO_BROADCASTS: dict[str, Any] = {"forward_sync_buffers" if _RENAMED else "broadcast_buffers": False}


@dataclass(frozen=True)
class Learned:
    """What a step has learned from: sums over the captions that the objective prepared, in all processes."""

    loss: float
    """Negative log-likelihood, without smoothing."""
    words: int
    captions: int
    places: int
    """Words and padding."""
    reward: float
    """0 where the objective gives none."""


class Diverged(Exception):
    """The loss or its gradient is no number, or far too large; the weights are as before the step."""

    def __init__(self, loss: float, norm: float) -> None:
        super().__init__(f"loss {loss:.3g} a word, gradient {norm:.3g}")
        self.loss = loss
        self.norm = norm


class Optimisation:
    """The optimiser of a model, and the average of its weights, and how far along its schedule it is."""

    def __init__(self, model: CaptionModel, objective: Objective, config: Config, total_steps: int) -> None:
        """``total_steps`` is the length of the cosine schedule."""
        self.model = model
        self.objective = objective
        self.settings = config.training
        self.total_steps = total_steps if config.training.schedule == "cosine" else None
        self._warmup_steps = min(config.training.warmup_steps, total_steps // 10)  # Or a short run would end in it.
        self.optimizer = build_optimizer(model, config)
        begun = config.training.begin_with is not None
        self.average = WeightAverage(model, config.training.average_decay, trained=begun)
        self.steps = 0
        """Taken so far."""
        self.halvings = 0
        """How often the plateau schedule has halved the learning rate."""
        self.parts = 1
        """In how many parts a batch is learned from; more where memory did not suffice."""
        self.proven = 0
        """Places of the largest batch that has been learned from."""
        self._sending = False  # Whether gradients may be under way to other processes.
        self._loss: nn.Module = objective.loss
        if processes.count() > 1:
            # Statistics of a batch norm stay each process's own; those of the first one are saved and validated.
            self._loss = DistributedDataParallel(objective.loss, **_NO_BROADCASTS)

    def step(self, batch: Batch) -> Learned:
        """Learn from a batch, on the CPU; all processes together, each from its own share of it.

        Raises ``Diverged``, and ``TrainingError`` when memory does not suffice for one picture.
        """
        self._set_learning_rate()
        sums = self._accumulate(batch)
        while sums is None:
            sums = self._accumulate(batch)
        loss, words, captions, places, reward = processes.totals(*sums)
        self._apply(loss, words)
        self.steps += 1
        self.average.update(self.steps)
        return Learned(loss, int(words), int(captions), int(places), reward)

    def _accumulate(self, batch: Batch) -> list[float] | None:
        """Gradients of the summed loss, averaged over processes, and the sums; None where memory did not suffice."""
        sums = [0.0] * 5
        self._sending = False
        try:
            parts = self._parts(batch)
            for start, stop in parts:
                part = batch.part(start, stop) if len(parts) > 1 else batch
                figures = self._learn(part, last=stop == len(batch.images))
                sums = [before + figure for before, figure in zip(sums, figures, strict=True)]
        except (MemoryError, RuntimeError) as error:
            if not out_of_memory(error):
                raise
            if self._sending or self.parts >= len(batch.images):
                pictures = -(-len(batch.images) // self.parts)
                raise TrainingError(
                    f"memory does not suffice to learn from {pictures} picture{'s' * (pictures > 1)} at once",
                    "set a smaller training.batch_size, decoder.hidden_size or encoder.image_size",
                ) from error
        else:
            self.proven = max(self.proven, len(batch.inputs))
            return sums
        # Only here has the error gone, with all that its frames held.
        self.optimizer.zero_grad()
        if self.model.encoder.device.type == "cuda":
            torch.cuda.empty_cache()
        return_freed_memory()  # Or allocations that the C library maps anew, and oneDNN's, still fail.
        self.parts = min(2 * self.parts, len(batch.images))
        return None

    def _parts(self, batch: Batch) -> list[tuple[int, int]]:
        """First and last images of the parts. The gradients of the last one's backward pass go to other processes.

        What has gone cannot be taken back. So a batch larger than any before is tried without its last image first.
        """
        images = len(batch.images)
        if processes.count() > 1 and self.parts == 1 < images and len(batch.inputs) > self.proven:
            return [(0, images - 1), (images - 1, images)]
        bounds = sorted({number * images // self.parts for number in range(self.parts + 1)})
        return list(pairwise(bounds))

    def _learn(self, batch: Batch, last: bool) -> list[float]:
        """Add a part's gradients to those of the others; after the ``last`` one they are those of all processes."""
        counts = float(batch.words > 0)
        with self._loss.no_sync() if isinstance(self._loss, DistributedDataParallel) and not last else nullcontext():
            batch, reward = self.objective.prepare(batch.to(self.objective.loss.compute.device), self.steps)
            loss, plain = self._loss(batch)
            self._sending = processes.count() > 1 and last
            (loss * counts).backward()
        rows = len(batch.image_of)
        figures = (float(plain), batch.words, rows, rows * len(batch.active), (reward or 0.0) * rows)
        return [counts * figure for figure in figures]

    def _apply(self, loss: float, words: float) -> None:
        """Change the weights by the mean gradient of all words, clipped."""
        gradients = [weight.grad for weight in self.model.parameters() if weight.grad is not None]
        scale = processes.count() / words
        norm = scale * float(nn.utils.get_total_norm(gradients))
        limit = _EXPLODED * math.log(len(self.model.decoder.output_bias))
        if not (loss / words <= limit and math.isfinite(norm)):
            self.optimizer.zero_grad()
            raise Diverged(loss / words, norm)
        torch._foreach_mul_(gradients, scale * min(1.0, self.settings.clip_norm / (norm + 1e-6)))
        self.optimizer.step()
        self.optimizer.zero_grad()

    def state(self) -> dict[str, Any]:
        """What continuing needs beside the weights, the same in all processes."""
        return {
            "optimizer": self.optimizer.state_dict(),
            "average": self.average.values,
            "steps": self.steps,
            "halvings": self.halvings,
        }

    def load(self, state: dict[str, Any]) -> None:
        """Continue from what ``state`` gave."""
        self.optimizer.load_state_dict(state["optimizer"])
        self.average.load(state["average"])
        self.steps, self.halvings = state["steps"], state["halvings"]

    @property
    def learning_rate(self) -> float:
        """Of the decoder, in the latest step."""
        return float(self.optimizer.param_groups[0]["lr"])

    def _set_learning_rate(self) -> None:
        factor = learning_rate_factor(self.steps, self._warmup_steps, self.total_steps) * 0.5**self.halvings
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak"] * factor


def build_optimizer(model: CaptionModel, config: Config) -> torch.optim.Optimizer:
    """AdamW; what modules multiply by decays, and nothing else; the encoder has a learning rate of its own.

    Biases, gains and embeddings may be matrices too: a vision transformer's positions are one.

    I. Loshchilov, F. Hutter, "Decoupled Weight Decay Regularization", ICLR 2019.
    """
    settings = config.training
    multiplying = [part for part in model.modules() if isinstance(part, _MULTIPLYING)]
    matrices = {own for part in multiplying for own in part.parameters(recurse=False) if own.dim() > 1}
    groups = []
    for part, rate in ((model.decoder, settings.learning_rate), (model.encoder, settings.encoder_learning_rate)):
        trained = [parameter for parameter in part.parameters() if parameter.requires_grad]
        decayed = [parameter for parameter in trained if parameter in matrices]
        kept = [parameter for parameter in trained if parameter not in matrices]
        groups += [
            {"params": several, "lr": rate, "peak": rate, "weight_decay": decay}
            for several, decay in ((decayed, settings.weight_decay), (kept, 0.0))
            if several
        ]
    return torch.optim.AdamW(groups, fused=True)
