"""What training asks of a model: to say what people said, or captions that score well.

An objective prepares a batch without gradients; what is then learned is always a weighted cross-entropy of it.
"""

import copy
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from captioner.batch import Batch, pack_captions
from captioner.compute import Compute
from captioner.config import Config, SamplingConfig
from captioner.constraints import rules_of
from captioner.model.build import CaptionModel
from captioner.model.loss import doubly_stochastic_penalty, sample_words, smoothed_cross_entropy
from captioner.sampling import Hypothesis, sample
from captioner.training.rewards import Reward
from captioner.vocab import END, START, Vocabulary

_IMPOSSIBLE = -1e9
"""A score that no softmax gives a probability."""


class Loss(nn.Module):
    """A prepared batch -> its summed loss, which has a gradient, and its summed negative log-likelihood."""

    never: Tensor

    def __init__(
        self,
        model: CaptionModel,
        compute: Compute,
        *,
        smoothing: float = 0.0,
        attention_penalty: float = 0.0,
        never: Sequence[int] = (),
    ) -> None:
        """Words that are ``never`` said have no probability, whatever the model gives them."""
        super().__init__()
        self.model = model
        self.compute = compute
        self.smoothing = smoothing
        self.attention_penalty = attention_penalty
        self.register_buffer("never", torch.tensor(never, dtype=torch.int64, device=compute.device), persistent=False)

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Two scalars, float32. Divided by the batch's words they are means."""
        decoder = self.model.decoder
        with self.compute.autocast():
            decoded = decoder(self.model.features(batch.images), batch)
        loss, plain = smoothed_cross_entropy(
            decoded.hidden.to(self.compute.dtype),
            decoder.output_weight,
            decoder.output_bias.index_fill(0, self.never, _IMPOSSIBLE),
            batch.targets,
            self.smoothing,
            batch.weights,
        )
        if decoded.attention is not None and self.attention_penalty:
            loss = loss + self.attention_penalty * doubly_stochastic_penalty(decoded.attention)
        return loss, plain


class Objective(ABC):
    """One way of making what is learned from a batch."""

    loss: Loss

    @abstractmethod
    def prepare(self, batch: Batch, step: int) -> tuple[Batch, float | None]:
        """The batch to learn from at a step, counted from 0, and the mean reward of its captions, if it has one.

        It depends on the model, the batch, the step and torch's random state, and leaves nothing behind.
        """


class CrossEntropy(Objective):
    """Teacher forcing, with the model's own words now and then in place of the teacher's (scheduled sampling).

    S. Bengio et al., "Scheduled Sampling for Sequence Prediction with Recurrent Neural Networks", NeurIPS 2015; its
    words are drawn for all places at once, from what teacher forcing predicts there, so that every decoder can do it:
    D. Duckworth et al., "Parallel Scheduled Sampling", arXiv 1906.04331, with one pass.
    """

    def __init__(self, model: CaptionModel, config: Config, compute: Compute, total_steps: int) -> None:
        """The share of the model's own words rises evenly from 0 to ``training.scheduled_sampling`` at the end."""
        settings = config.training
        self.loss = Loss(
            model, compute, smoothing=settings.label_smoothing, attention_penalty=settings.attention_penalty
        )
        self._share, self._total_steps = settings.scheduled_sampling, total_steps

    def prepare(self, batch: Batch, step: int) -> tuple[Batch, float | None]:
        """See ``Objective.prepare``."""
        share = self._share * step / self._total_steps
        return (with_own_words(self.loss.model, self.loss.compute, batch, share) if share else batch), None


@torch.no_grad()
def with_own_words(model: CaptionModel, compute: Compute, batch: Batch, share: float) -> Batch:
    """The batch with a ``share`` of its inputs, drawn by chance, replaced by what the model says in their place."""
    decoder, features = model.decoder, _features(model, compute, batch)
    with compute.autocast():
        hidden = decoder(features, batch).hidden.to(compute.dtype)
    own = sample_words(hidden, decoder.output_weight, decoder.output_bias)
    first, places = batch.active[0], torch.arange(len(batch.inputs))
    # Packed step by step, a row's word before stands as far back as the step before has rows.
    before = places[first:] - torch.tensor(batch.active)[batch.steps[first:] - 1]
    replaced = torch.rand(len(before)) < share
    own = own[before.to(own.device)].where(replaced.to(own.device), batch.inputs[first:])
    return replace(batch, inputs=torch.cat([batch.inputs[:first], own]))


def _features(model: CaptionModel, compute: Compute, batch: Batch) -> Tensor:
    """Of the batch's pictures, as for captioning: batch statistics move only where it is learned from."""
    encoder = model.encoder
    before = encoder.training
    encoder.eval()
    try:
        with compute.autocast():
            return model.features(batch.images)
    finally:
        encoder.train(before)


class SelfCritical(Objective):
    """The model's own captions, each counted by how much better it scores than others for the same picture.

    S. Rennie et al., "Self-critical Sequence Training for Image Captioning", CVPR 2017, with greedy captions as the
    baseline; with the other captions of the same picture: R. Luo, "A Better Variant of Self-Critical Sequence
    Training", arXiv 2003.09971; with captions from beam search: M. Cornia et al., "Meshed-Memory Transformer",
    CVPR 2020, section 3.3. Captions are drawn without dropout.
    """

    def __init__(
        self,
        model: CaptionModel,
        vocabulary: Vocabulary,
        references: Sequence[Sequence[Sequence[str]]],
        config: Config,
        compute: Compute,
    ) -> None:
        """``references[i]`` are the captions, in words, of the picture that batches call number i."""
        settings = config.self_critical
        self._seed = config.training.seed
        self._settings = settings
        self._sampling = SamplingConfig(
            method=settings.method, beam_size=settings.captions, max_length=config.sampling.max_length
        )
        self._rules = rules_of(vocabulary, self._sampling)
        # With words that are never drawn, the model could lower a caption's probability for ever.
        self.loss = Loss(model, compute, never=self._rules.never)
        self._vocabulary = vocabulary
        self._reward = Reward(references, settings.bleu_weight)
        # Without dropout, in one precision throughout: words are drawn several times faster than under autocast.
        self._drawing = copy.deepcopy(model.decoder).to(compute.device, compute.dtype).eval()

    @torch.no_grad()
    def prepare(self, batch: Batch, step: int) -> tuple[Batch, float | None]:
        """See ``Objective.prepare``; the reward is the mean over all captions."""
        model = self.loss.model
        torch._foreach_copy_(list(self._drawing.parameters()), list(model.decoder.parameters()))
        features = _features(model, self.loss.compute, batch).to(self.loss.compute.dtype)
        sampling = self._sampling.model_copy(update={"seed": _seed_of(self._seed, step)})
        count = self._settings.captions
        found = sample(self._drawing, features, self._rules, sampling, numbers=batch.numbers, captions=count)
        rewards = self._rewards(batch.numbers, found)
        if self._settings.baseline == "greedy":
            greedy = SamplingConfig(method="greedy", max_length=sampling.max_length)
            likeliest = sample(self._drawing, features, self._rules, greedy)
            worth = self._rewards(batch.numbers, likeliest)
            baselines = [several * len(own) for several, own in zip(worth, rewards, strict=True)]
        else:
            baselines = [means_of_others(several) for several in rewards]
        prepared = pack_captions(
            batch.images,
            [[one.words for one in several] for several in found],
            start=START,
            end=END,
            numbers=batch.numbers,
            weights=[
                [
                    [reward - baseline] * len(one.words) + [(reward - baseline) * one.finished]
                    for one, reward, baseline in zip(*all_three, strict=True)
                ]
                for all_three in zip(found, rewards, baselines, strict=True)
            ],
        )
        mean = sum(map(sum, rewards)) / sum(map(len, rewards))
        return prepared.to(self.loss.compute.device), mean

    def _rewards(self, numbers: Sequence[int], found: Sequence[Sequence[Hypothesis]]) -> list[list[float]]:
        return [
            self._reward(number, [(self._vocabulary.decode(one.words), one.finished) for one in several])
            for number, several in zip(numbers, found, strict=True)
        ]


def _seed_of(seed: int, step: int) -> int:
    """Of what is drawn at a step; 63 bits, as many as a number in a tensor may have. What is above them is mixed in."""
    return (((seed << 32) + step) ^ ((seed >> 31) * 0x9E3779B97F4A7C15)) & ((1 << 63) - 1)


def means_of_others(rewards: Sequence[float]) -> list[float]:
    """For each, the mean of all the others; of a single one, itself."""
    total = sum(rewards)
    return [(total - reward) / (len(rewards) - 1) for reward in rewards] if len(rewards) > 1 else list(rewards)
