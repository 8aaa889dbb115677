"""A decoder for tests of samplers: the next word's scores depend on the picture and the words so far, by a table."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from captioner.sampling import Rules

PAD, START, END, UNKNOWN = range(4)


def rules(longest: int, **others: Any) -> Rules:
    """As captions are made with, of up to ``longest`` words."""
    return Rules(start=START, end=END, max_length=longest, never=(PAD, START, UNKNOWN), **others)


@dataclass(frozen=True)
class Memory:
    """The sums that a row's past has come to, and the pictures' tables."""

    past: Tensor
    """(B * W,)"""
    tables: Tensor
    """(B, R, V)"""

    def select(self, rows: Tensor, images: Tensor | None = None) -> "Memory":
        return Memory(self.past[rows], self.tables if images is None else self.tables[images])


class TransitionDecoder:
    """Features (B, R, V) are the tables themselves: R sets of scores, of which a row's words so far choose one."""

    def __init__(self) -> None:
        self.images_seen: list[int] = []
        """How many pictures each step was asked for."""

    def start(self, features: Tensor) -> Memory:
        return Memory(torch.zeros(len(features), dtype=torch.int64), features)

    def step(self, words: Tensor, state: Memory) -> tuple[Tensor, Memory]:
        images, tables, _ = state.tables.shape
        self.images_seen.append(images)
        width = len(words) // images
        past = (3 * state.past + words) % tables
        image_of = torch.arange(len(words)) // width
        return state.tables[image_of, past], Memory(past, state.tables)


def scores_after(table: Tensor, words: tuple[int, ...]) -> Tensor:
    """The log-probabilities after ``words``, for one picture's table (R, V), computed without a decoder."""
    past = 0
    for word in (START, *words):
        past = (3 * past + word) % len(table)
    return torch.log_softmax(table[past].double(), dim=0)


def random_tables(images: int, vocabulary: int, *, seed: int, rows: int = 7, end_bonus: float = 0.0) -> Tensor:
    tables = 1.5 * torch.randn(images, rows, vocabulary, generator=torch.Generator().manual_seed(seed))
    tables[:, :, END] += end_bonus
    return tables
