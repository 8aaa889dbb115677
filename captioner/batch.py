"""The batch that the data layer hands to a decoder: pictures, and their captions with hardly any padding.

Shape legend of the project: B images, N captions of all of them (rows), T tokens, P grid positions, D feature
size, H hidden size, V vocabulary size, W beam width; M is the number of words to predict, over all rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from captioner.vocab import PAD as PAD


@dataclass(frozen=True)
class Batch:
    """Rows are sorted by length, longest first, so that at step t the first ``active[t]`` rows are still running.

    Whatever is *packed* is laid out step by step: the active rows of step 0, then those of step 1, and so on, as
    in ``torch.nn.utils.rnn.PackedSequence``. A step's rows are rounded up to a multiple of ``ROUND`` by rows that have
    just ended: matrix products prepare themselves for each new shape, so few shapes are worth a few per cent of
    padding. Pad targets are never counted.
    """

    images: Tensor
    """Features (B, P, D), float16, or pictures (B, 3, H, W), uint8."""
    image_of: Tensor
    """(N,), int64: which image a row describes."""
    inputs: Tensor
    """(M,), int64, packed: the word before; the start token in the first step."""
    targets: Tensor
    """(M,), int64, packed: the word to predict; the end token in a row's last step, and ``PAD`` after that."""
    active: tuple[int, ...]
    """Rows computed at each of the T steps; their sum is M."""
    words: int
    """Words to predict, ends included: the targets that are not padding. 0 in a batch that counts for nothing, which
    keeps a process busy for which others have left none."""
    numbers: tuple[int, ...] = ()
    """The images' places in their data set, where these matter."""
    weights: Tensor | None = None
    """(M,), float32, packed: what each target counts for; None: one each."""

    @property
    def steps(self) -> Tensor:
        """(M,), int64: the step of each packed word, on the CPU."""
        return torch.repeat_interleave(torch.arange(len(self.active)), torch.tensor(self.active))

    @property
    def rows(self) -> Tensor:
        """(M,), int64: the row of each packed word, on the CPU."""
        return torch.cat([torch.arange(count) for count in self.active])

    def to(self, device: torch.device) -> "Batch":
        """The same batch on ``device``."""
        tensors = {name: getattr(self, name) for name in _TENSORS}
        moved = {name: part.to(device, non_blocking=True) for name, part in tensors.items() if part is not None}
        return replace(self, **moved)

    def part(self, start: int, stop: int) -> "Batch":
        """Images ``start`` to ``stop``, the latter left out, with their captions; for a batch on the CPU."""
        kept = (self.image_of >= start) & (self.image_of < stop)
        packed = kept[self.rows]
        counts = (int(kept[:count].sum()) for count in self.active)
        targets = self.targets[packed]
        return Batch(
            images=self.images[start:stop],
            image_of=self.image_of[kept] - start,
            inputs=self.inputs[packed],
            targets=targets,
            active=tuple(count for count in counts if count),
            words=int((targets != PAD).sum()),
            numbers=self.numbers[start:stop],
            weights=None if self.weights is None else self.weights[packed],
        )


ROUND = 16

_TENSORS = ("images", "image_of", "inputs", "targets", "weights")


def pack_captions(
    images: Tensor,
    captions: Sequence[Sequence[Sequence[int]]],
    *,
    start: int,
    end: int,
    numbers: Sequence[int] = (),
    weights: Sequence[Sequence[Sequence[float]]] | None = None,
) -> Batch:
    """``captions[b]`` are image b's captions as word indices, without start and end -> ``Batch``.

    ``weights[b]`` say for each of its captions what each word counts for, and its end.
    """
    rows = [
        (image, [*words, end], weights[image][place] if weights else ())
        for image, several in enumerate(captions)
        for place, words in enumerate(several)
    ]
    rows.sort(key=lambda row: -len(row[1]))
    longest = len(rows[0][1])
    targets: list[int] = []
    inputs: list[int] = []
    counts_for: list[float] = []
    active = []
    running = len(rows)
    for step in range(longest):
        while len(rows[running - 1][1]) <= step:
            running -= 1
        computed = min(len(rows), -(-running // ROUND) * ROUND)
        ended = computed - running
        active.append(computed)
        targets += [words[step] for _, words, _ in rows[:running]] + [PAD] * ended
        inputs += [words[step - 1] if step else start for _, words, _ in rows[:running]] + [PAD] * ended
        if weights:
            counts_for += [several[step] for _, _, several in rows[:running]] + [0.0] * ended
    return Batch(
        images=images,
        image_of=torch.tensor([image for image, _, _ in rows]),
        inputs=torch.tensor(inputs),
        targets=torch.tensor(targets),
        active=tuple(active),
        words=sum(len(words) for _, words, _ in rows),
        numbers=tuple(numbers),
        weights=torch.tensor(counts_for) if weights else None,
    )
