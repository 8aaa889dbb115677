"""The transformer's decoder: each word looks at the words before it and at the whole grid, layer after layer.

A. Vaswani et al., "Attention Is All You Need", NeurIPS 2017, arXiv 1706.03762; over pictures: P. Sharma et al.,
"Conceptual Captions", ACL 2018, section 4.
"""

import torch
from torch import Tensor, nn

from captioner.batch import Batch
from captioner.model.decoder import Decoded, Decoder, DecoderState
from captioner.model.multi_head import CrossAttention, FeedForward, Layout, Remembered, SelfAttention, linear

_POSITIONS = 128  # Words with a learned position of their own; all later ones share the last.


class Layer(nn.Module):
    """Self-attention, cross-attention and feed-forward network."""

    def __init__(self, width: int, heads: int, feed_forward_size: int, dropout: nn.Module, gain: float) -> None:
        super().__init__()
        self.words = SelfAttention(width, heads, gain)
        self.picture = CrossAttention(width, heads, gain)
        self.feed_forward = FeedForward(width, feed_forward_size, gain)
        self.dropout = dropout

    def forward(
        self, x: Tensor, layout: Layout, picture: Remembered, past: Remembered | None = None
    ) -> tuple[Tensor, Remembered]:
        """Words (M, H) -> the same, and the keys and values of all words so far.

        Without ``past`` they are whole captions, and no word sees a later one.
        """
        update, so_far = self.words(x, layout, causal=past is None, past=past)
        x = x + self.dropout(update)
        x = x + self.dropout(self.picture(x, layout, picture))
        return x + self.dropout(self.feed_forward(x)), so_far

    def attention(self, x: Tensor, layout: Layout, picture: Remembered) -> Tensor:
        """Whole captions' words (M, H) -> where each looks, (R, T, P)."""
        update, _ = self.words(x, layout, causal=True)
        return self.picture.weights(x + update, layout, picture)


class Transformer(Decoder):
    """Pre-norm transformer decoder over the grid's positions.

    Dropout falls on the projected features, on the words, and on what each sub-layer adds (section 5.4 of the paper).
    """

    def __init__(
        self,
        feature_size: int,
        vocabulary_size: int,
        *,
        embedding_size: int,
        hidden_size: int,
        layers: int,
        heads: int,
        feed_forward_size: int,
        dropout: float,
        tie_embeddings: bool,
    ) -> None:
        super().__init__(vocabulary_size, embedding_size, dropout, tie_embeddings)
        # Normalised, words are as large as what is added to them, however large their vectors are.
        self.word_norm = nn.LayerNorm(embedding_size)
        same = embedding_size == hidden_size
        self.from_embedding = nn.Identity() if same else linear(embedding_size, hidden_size)
        self.position = nn.Embedding(_POSITIONS, hidden_size)
        nn.init.normal_(self.position.weight, std=0.1)
        self.image = nn.Sequential(linear(feature_size, hidden_size), nn.LayerNorm(hidden_size))
        # Each of the 3 * layers additions begins so small that their sum does not grow with the layers.
        gain = (3 * layers) ** -0.5
        self.layers = nn.ModuleList(
            Layer(hidden_size, heads, feed_forward_size, self.dropout, gain) for _ in range(layers)
        )
        self.norm = nn.LayerNorm(hidden_size)
        # Even where sizes agree: a word's own vector runs through all layers, and with tied embeddings it would at
        # first make each word its own likeliest successor, which took many epochs to unlearn.
        self.to_embedding = linear(hidden_size, embedding_size)

    def forward(self, features: Tensor, batch: Batch) -> Decoded:
        """Teacher forcing: all words at once. Only around attention are they unpacked."""
        layout = Layout.of_batch(batch, len(features))
        x = self._embed(batch.inputs, batch.steps.to(features.device))
        for layer, picture in zip(self.layers, self._look(features), strict=True):
            x, _ = layer(x, layout, picture)
        return Decoded(self.to_embedding(self.norm(x)))

    def _look(self, features: Tensor) -> list[Remembered]:
        """Features (B, P, D) -> what each layer's cross-attention needs of them."""
        grid = self.dropout(self.image(self.grid(features)))
        return [layer.picture.remember(grid) for layer in self.layers]  # type: ignore[operator, union-attr]

    def _embed(self, words: Tensor, steps: Tensor) -> Tensor:
        """Words (M,) and where they stand in their captions (M,) -> (M, H)."""
        vectors = self.from_embedding(self.word_norm(self.embedding(words)))
        embedded: Tensor = self.dropout(vectors + self.position(steps.clamp(max=_POSITIONS - 1)))
        return embedded

    def start(self, features: Tensor) -> DecoderState:
        """See ``Decoder.start``."""
        pictures = self._look(features)
        nothing = tuple(part.new_empty(features.shape[0], part.shape[1], 0, part.shape[3]) for part in pictures[0])
        return DecoderState(nothing * len(pictures), tuple(part for pair in pictures for part in pair))

    def step(self, words: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState]:
        """See ``Decoder.step``."""
        layout = Layout(rows=words.shape[0], steps=1)
        x = self._embed(words, torch.full_like(words, state.rows[0].shape[2]))
        so_far: list[Tensor] = []
        for layer, picture, past in zip(self.layers, _pairs(state.images), _pairs(state.rows), strict=True):
            x, remembered = layer(x, layout, picture, past)
            so_far += remembered
        return self.logits(self.to_embedding(self.norm(x))), DecoderState(tuple(so_far), state.images)

    def attention(self, features: Tensor, inputs: Tensor) -> Tensor:
        """See ``Decoder.attention``: the last layer's, the mean over its heads."""
        layout = Layout(*inputs.shape)
        steps = torch.arange(layout.steps, device=inputs.device).repeat(layout.rows)
        x = self._embed(inputs.flatten(), steps)
        *earlier, (last, picture) = zip(self.layers, self._look(features), strict=True)
        for layer, seen in earlier:
            x, _ = layer(x, layout, seen)
        weights: Tensor = last.attention(x, layout, picture)  # type: ignore[operator]
        return weights


def _pairs(parts: tuple[Tensor, ...]) -> list[Remembered]:
    """Keys and values of one layer after the other, flat as a ``DecoderState`` has them -> in pairs."""
    return list(zip(parts[::2], parts[1::2], strict=True))
