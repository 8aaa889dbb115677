"""What all decoders share: the words' vectors, the output layer, and the step protocol that samplers see."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from captioner.batch import Batch
from captioner.model.dropout import Dropout
from captioner.model.packing import PackedLinear, packs, product

_ALIGNED = 16  # Numbers: 64 bytes of float32.


@dataclass(frozen=True)
class DecoderState:
    """What a decoder remembers between two words, for W rows of each of B images (row = image * W + beam)."""

    memories: tuple[Tensor, ...]
    """Change with every word; first dimension B * W, or any with ``places``."""
    images: tuple[Tensor, ...] = ()
    """Computed once from the features; first dimension B."""
    places: Tensor | None = None
    """(B * W,), int64: where each row's memory stands in ``memories``. Beams that continue one beginning share its
    memory, and need what is computed of that alone only once."""

    @cached_property
    def rows(self) -> tuple[Tensor, ...]:
        """Each row's own copy of its memory; first dimension B * W."""
        places = self.places
        return self.memories if places is None else tuple(part.index_select(0, places) for part in self.memories)

    def shared(self) -> tuple[tuple[Tensor, ...], Tensor, Tensor] | None:
        """Each memory once, (U, ...), its image (U,), and each row's place among those (B * W,); None: none is shared.

        For decoders that keep something in ``images``, whose number tells how many rows each has.
        """
        if self.places is None or len(self.places) == len(self.images[0]):
            return None
        different, places = torch.unique(self.places, return_inverse=True)
        if len(different) == len(places):
            return None
        image_of_rows = torch.arange(len(places), device=places.device) // (len(places) // len(self.images[0]))
        image_of = torch.empty_like(different).scatter_(0, places, image_of_rows)
        return tuple(part.index_select(0, different) for part in self.memories), image_of, places

    def select(self, rows: Tensor, images: Tensor | None = None) -> "DecoderState":
        """The state of other ``rows`` (indices into B * W), and of fewer ``images`` (indices into B)."""
        kept = self.images if images is None else tuple(part.index_select(0, images) for part in self.images)
        return DecoderState(self.memories, kept, rows if self.places is None else self.places.index_select(0, rows))


@dataclass(frozen=True)
class Decoded:
    """What teacher forcing gives."""

    hidden: Tensor
    """(M, E), packed as the batch is: the output layer's input for each word."""
    attention: Tensor | None = None
    """(N, P): how much each row looked at each position, summed over its words; None without attention."""


class Decoder(nn.Module, ABC):
    """Features (B, P, D) -> words. Subclasses give ``forward`` (teacher forcing), ``start`` and ``step``.

    ``step`` repeated equals ``forward`` to 1e-5 in float32, which tests check for every decoder. ``start`` and ``step``
    are exported as graphs of any batch size: there, ``len(x)`` would be a constant, and ``x.shape[0]`` is none.
    """

    standardises: ClassVar[bool] = False
    """Whether features are to have mean 0 and deviation 1 over training pictures, if the encoder has learned before."""

    def __init__(self, vocabulary_size: int, embedding_size: int, dropout: float, tie_embeddings: bool) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary_size, embedding_size)
        nn.init.normal_(self.embedding.weight, std=embedding_size**-0.5)
        # Tying shares the matrix by using it, not by a second name for it: a checkpoint holds it once.
        self.output = None if tie_embeddings else nn.Linear(embedding_size, vocabulary_size, bias=False)
        self.output_bias = nn.Parameter(torch.zeros(vocabulary_size))
        self.dropout = Dropout(dropout)
        self.grid: nn.Module = nn.Identity()
        """What features (B, P, D) pass through first: standardised if the class asks for it, refined if configured."""

    @property
    def dtype(self) -> torch.dtype:
        """Type of the weights: float32, or bfloat16 where ``to`` made it so."""
        return self.output_bias.dtype

    @property
    def output_weight(self) -> Tensor:
        """(V, E): the output layer's matrix."""
        return self.embedding.weight if self.output is None else self.output.weight

    def logits(self, hidden: Tensor) -> Tensor:
        """(N, E) -> unnormalised scores of the next word (N, V)."""
        if isinstance(self.output, PackedLinear):
            return product(hidden, self.output.packed, self.output_bias)
        size, on_cpu = len(self.output_bias), hidden.device.type == "cpu" and hidden.dtype == torch.float32
        if size % _ALIGNED == 0 or not on_cpu or torch.is_grad_enabled() or torch.compiler.is_compiling():
            return F.linear(hidden, self.output_weight, self.output_bias)
        # Rows that begin anywhere take the product of float32 matrices a third longer.
        rows = hidden.new_empty(hidden.shape[0], size + -size % _ALIGNED)[:, :size]
        return torch.mm(hidden, self.output_weight.t(), out=rows) + self.output_bias

    @torch.no_grad()
    def set_word_vectors(self, vectors: Tensor) -> None:
        """Begin with ``vectors`` (V, E) instead of random ones.

        Where they are the output layer's matrix too, they are scaled to the length that random ones have: scores would
        grow with their length, and those of long vectors leave training no way.
        """
        if self.output is None:
            vectors = vectors / (vectors.shape[1] ** 0.5 * vectors.square().mean().sqrt().clamp(min=1e-12))
        self.embedding.weight.copy_(vectors)

    def prepare(self) -> None:
        """Compute once what only the weights decide, in a copy for inference, whose weights stay as they are."""
        if self.output is None and packs(self.embedding.weight):
            self.output = PackedLinear(self.embedding.weight, None)

    @abstractmethod
    def forward(self, features: Tensor, batch: Batch) -> Decoded:
        """Teacher forcing: features (B, P, D) and the batch's captions -> the output layer's inputs."""

    @abstractmethod
    def start(self, features: Tensor) -> DecoderState:
        """The state before the first word, one row for each image; features (B, P, D)."""

    @abstractmethod
    def step(self, words: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState]:
        """The previous words (B * W,) -> scores of the next ones (B * W, V), and the state after them."""

    def attention(self, features: Tensor, inputs: Tensor) -> Tensor | None:
        """Where given captions look: features (B, P, D), the word before each word (B, T) -> weights (B, T, P).

        In float32; a word's sum to 1. None for a decoder that looks nowhere in particular.
        """
        return None
