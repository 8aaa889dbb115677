"""Random numbers that depend on what they are for, and on nothing else: not on a batch, an order or a thread.

Counter-based, after J. Salmon et al., "Parallel Random Numbers: As Easy as 1, 2, 3", SC 2011: there is no generator
whose state must be carried along, and any number of the stream is computed by itself. The mixing function is that of
G. Steele et al., "Fast Splittable Pseudorandom Number Generators", OOPSLA 2014 (SplitMix64,
variant 13).
"""

import torch
from torch import Tensor

# As signed numbers: int64 wraps around, as the paper's unsigned numbers do.
_GOLDEN = 0x9E3779B97F4A7C15 - (1 << 64)
_FIRST = 0xBF58476D1CE4E5B9 - (1 << 64)
_SECOND = 0x94D049BB133111EB - (1 << 64)


def key_of(seed: int, pictures: Tensor, width: int) -> Tensor:
    """Keys (B * W,) for each of W draws for each picture, given by its number (B,), int64."""
    seeds = _pick(torch.zeros_like(pictures), torch.full_like(pictures, seed))
    rows = _pick(seeds, pictures).repeat_interleave(width)
    return _pick(rows, torch.arange(width, device=rows.device).repeat(len(pictures)))


def gumbel(keys: Tensor, step: int, vocabulary: int) -> Tensor:
    """Standard Gumbel noise (N, V), float32, that depends on a row's key (N,), the step and the word's index only."""
    streams = _pick(keys, torch.full_like(keys, step)).unsqueeze(1)
    bits = _pick(streams, torch.arange(vocabulary, device=keys.device))
    # 52 of the 64 bits, in the middle of their interval: never 0 or 1, whose logarithms would be infinite.
    uniform = (_shift(bits, 12).double() + 0.5) * 2.0**-52
    return -(-uniform.log()).log().float()


def _pick(stream: Tensor, place: Tensor) -> Tensor:
    """The 64 bits at a place of a stream."""
    bits = stream + (place + 1) * _GOLDEN
    bits = (bits ^ _shift(bits, 30)) * _FIRST
    bits = (bits ^ _shift(bits, 27)) * _SECOND
    return bits ^ _shift(bits, 31)


def _shift(bits: Tensor, by: int) -> Tensor:
    """To the right, filled up with zeros."""
    return (bits >> by) & ((1 << (64 - by)) - 1)
