"""One step of training: loss, gradients, clipping, learning rate and AdamW."""

from dataclasses import dataclass

import torch
from torch import nn

from captioner.batch import Batch
from captioner.config import Config
from captioner.model.build import CaptionModel
from captioner.training.average import WeightAverage
from captioner.training.objectives import Objective
from captioner.training.schedule import learning_rate_factor


@dataclass(frozen=True)
class Learned:
    """What a step has learned from."""

    batch: Batch
    """As the objective prepared it."""
    loss: float
    """Its summed negative log-likelihood, without smoothing."""
    reward: float | None
    """The mean of its captions, where the objective gives one."""


class Optimisation:
    """The optimiser of a model, and the average of its weights, and how far along its schedule it is."""

    def __init__(self, model: CaptionModel, objective: Objective, config: Config, total_steps: int) -> None:
        """``total_steps`` is the length of the cosine schedule."""
        self.model = model
        self.objective = objective
        self.settings = config.training
        self.total_steps = total_steps if config.training.schedule == "cosine" else None
        self.optimizer = build_optimizer(model, config)
        self.average = WeightAverage(model, config.training.average_decay)
        self.steps = 0
        """Taken so far."""
        self.halvings = 0
        """How often the plateau schedule has halved the learning rate."""

    def step(self, batch: Batch) -> Learned:
        """Learn from a batch."""
        self._set_learning_rate()
        batch, reward = self.objective.prepare(batch, self.steps)
        loss, plain = self.objective.loss(batch)
        (loss / batch.words).backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), self.settings.clip_norm)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.steps += 1
        self.average.update(self.steps)
        return Learned(batch, float(plain), reward)

    @property
    def learning_rate(self) -> float:
        """Of the decoder, in the latest step."""
        return float(self.optimizer.param_groups[0]["lr"])

    def _set_learning_rate(self) -> None:
        factor = learning_rate_factor(self.steps, self.settings.warmup_steps, self.total_steps) * 0.5**self.halvings
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak"] * factor


def build_optimizer(model: CaptionModel, config: Config) -> torch.optim.Optimizer:
    """AdamW; matrices decay, biases, gains and embeddings do not; the encoder has a learning rate of its own.

    I. Loshchilov, F. Hutter, "Decoupled Weight Decay Regularization", ICLR 2019.
    """
    settings = config.training
    vectors = {part.weight for part in model.modules() if isinstance(part, nn.Embedding)}
    groups = []
    for part, rate in ((model.decoder, settings.learning_rate), (model.encoder, settings.encoder_learning_rate)):
        trained = [parameter for parameter in part.parameters() if parameter.requires_grad]
        decayed = [p for p in trained if p.dim() > 1 and p not in vectors]
        kept = [p for p in trained if p.dim() <= 1 or p in vectors]
        groups += [
            {"params": several, "lr": rate, "peak": rate, "weight_decay": decay}
            for several, decay in ((decayed, settings.weight_decay), (kept, 0.0))
            if several
        ]
    return torch.optim.AdamW(groups, fused=True)
