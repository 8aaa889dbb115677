"""One step of training: loss, gradients, clipping, learning rate and AdamW."""

import torch
from torch import nn

from captioner.batch import Batch
from captioner.compute import Compute
from captioner.config import Config
from captioner.model.build import CaptionModel
from captioner.model.loss import doubly_stochastic_penalty, smoothed_cross_entropy
from captioner.training.average import WeightAverage
from captioner.training.schedule import learning_rate_factor


class Optimisation:
    """The optimiser of a model, and the average of its weights, and how far along its schedule it is."""

    def __init__(self, model: CaptionModel, config: Config, compute: Compute, total_steps: int) -> None:
        """``total_steps`` is the length of the cosine schedule."""
        self.model = model
        self.settings = config.training
        self.compute = compute
        self.total_steps = total_steps if config.training.schedule == "cosine" else None
        self.optimizer = build_optimizer(model, config)
        self.average = WeightAverage(model, config.training.average_decay)
        self.steps = 0
        """Taken so far."""
        self.halvings = 0
        """How often the plateau schedule has halved the learning rate."""

    def step(self, batch: Batch) -> float:
        """Learn from a batch; returns its summed negative log-likelihood, without smoothing."""
        self._set_learning_rate()
        decoder = self.model.decoder
        with self.compute.autocast():
            decoded = decoder(self.model.features(batch.images), batch)
        smoothed, plain = smoothed_cross_entropy(
            decoded.hidden.to(self.compute.dtype),
            decoder.output_weight,
            decoder.output_bias,
            batch.targets,
            self.settings.label_smoothing,
        )
        if decoded.attention is not None:
            smoothed = smoothed + self.settings.attention_penalty * doubly_stochastic_penalty(decoded.attention)
        loss = smoothed / batch.words
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.model.parameters(), self.settings.clip_norm)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.steps += 1
        self.average.update(self.steps)
        return float(plain)

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
