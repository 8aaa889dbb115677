"""Show, Attend and Tell: an LSTM that looks at part of the picture for each word.

K. Xu et al., "Show, Attend and Tell: Neural Image Caption Generation with Visual Attention", ICML 2015,
arXiv 1502.03044: soft attention (section 4.2) with the gate beta (section 4.2.1), the initial state from the mean
feature (section 3.1.2) and the deep output layer (equation 7).
"""

import torch
from torch import Tensor, nn

from captioner.batch import Batch
from captioner.model.decoder import Decoded, Decoder, DecoderState
from captioner.model.recurrent import StepMatrix
from captioner.model.soft_attention import Grid


class ShowAttendTell(Decoder):
    """LSTM decoder with gated soft attention over the grid's positions."""

    def __init__(
        self,
        feature_size: int,
        vocabulary_size: int,
        *,
        embedding_size: int,
        hidden_size: int,
        attention_size: int,
        dropout: float,
        tie_embeddings: bool,
    ) -> None:
        super().__init__(vocabulary_size, embedding_size, dropout, tie_embeddings)
        self.sizes = [4 * hidden_size, attention_size, hidden_size]
        self.value = nn.Sequential(nn.Linear(feature_size, hidden_size), nn.ReLU())
        self.key = nn.Linear(hidden_size, attention_size)
        self.score = nn.Parameter(torch.empty(attention_size).uniform_(-1, 1) * attention_size**-0.5)
        self.initial = nn.Linear(hidden_size, 2 * hidden_size)
        # What the state before the word gives, in one product: the LSTM's four gates, the query, the context's gate.
        self.from_word = nn.Linear(embedding_size, 4 * hidden_size)
        self.from_state = nn.Linear(hidden_size, sum(self.sizes), bias=False)
        self.from_context = nn.Linear(hidden_size, 4 * hidden_size, bias=False)
        self.state_to_output = nn.Linear(hidden_size, embedding_size)
        self.context_to_output = nn.Linear(hidden_size, embedding_size, bias=False)

    def forward(self, features: Tensor, batch: Batch) -> Decoded:
        """Teacher forcing: whatever does not depend on the state is computed before the loop, or after it."""
        values, keys, hidden, cell = self._look(features)
        grid = Grid(keys, values, batch.image_of)
        hidden, cell = hidden[batch.image_of], cell[batch.image_of]
        words = self.dropout(self.embedding(batch.inputs))
        word_gates = self.from_word(words).split(batch.active)
        recurrence = self._recurrence(word_gates[0].dtype)

        states, contexts = [], []
        attention = torch.zeros(len(hidden), values.shape[1], device=values.device)
        for count, gates in zip(batch.active, word_gates, strict=True):
            hidden, cell, context, weights = self._advance(gates, hidden[:count], cell[:count], grid, recurrence)
            attention = attention + nn.functional.pad(weights, (0, 0, 0, len(attention) - count))
            states.append(hidden)
            contexts.append(context)
        return Decoded(self._deep_output(torch.cat(states), torch.cat(contexts), words), attention)

    def _look(self, features: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Features (B, P, D) -> values (B, P, H), keys (B, P, A), and the initial h and c (B, H)."""
        values = self.dropout(self.value(features))
        hidden, cell = torch.tanh(self.initial(values.mean(dim=1))).float().chunk(2, dim=-1)
        return values, self.key(values), hidden, cell

    def _recurrence(self, dtype: torch.dtype) -> tuple[StepMatrix, StepMatrix]:
        return StepMatrix(self.from_state.weight, dtype), StepMatrix(self.from_context.weight, dtype)

    def _advance(
        self, word_gates: Tensor, hidden: Tensor, cell: Tensor, grid: Grid, recurrence: tuple[StepMatrix, StepMatrix]
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """One word for n rows: the new h and c (n, H), the gated context (n, H) and the attention (n, P)."""
        from_state, from_context = recurrence
        gates, query, context_gate = torch.split(from_state(hidden), self.sizes, dim=-1)
        context, weights = grid.attend(query, self.score)
        context = torch.sigmoid(context_gate) * context
        gates = gates + word_gates + from_context(context)
        hidden, cell = lstm_cell(gates, cell)
        return hidden.to(gates.dtype), cell, context, weights

    def _deep_output(self, hidden: Tensor, context: Tensor, words: Tensor) -> Tensor:
        """Equation 7: the output layer sees the state, what was looked at, and the word before."""
        deep = self.state_to_output(self.dropout(hidden)) + self.context_to_output(context) + words
        output: Tensor = self.dropout(torch.tanh(deep))
        return output

    def start(self, features: Tensor, width: int) -> DecoderState:
        """See ``Decoder.start``."""
        values, keys, hidden, cell = self._look(features)
        return DecoderState(
            (hidden.repeat_interleave(width, dim=0), cell.repeat_interleave(width, dim=0)), (values, keys)
        )

    def step(self, words: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState]:
        """See ``Decoder.step``."""
        (hidden, cell), (values, keys) = state.rows, state.images
        width = len(words) // len(values)
        grid = Grid(keys, values, torch.arange(len(words), device=words.device) // width)
        vectors = self.embedding(words)
        gates = self.from_word(vectors)
        hidden, cell, context, _ = self._advance(gates, hidden, cell, grid, self._recurrence(gates.dtype))
        return self.logits(self._deep_output(hidden, context, vectors)), DecoderState((hidden, cell), state.images)


def lstm_cell(gates: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
    """Gates (n, 4H) before their non-linearities, in torch's order, and c (n, H) -> the new h and c, float32.

    S. Hochreiter, J. Schmidhuber, "Long Short-Term Memory", Neural Computation 9(8), 1997, with forget gates.
    """
    inputs, forget, new, output = gates.float().chunk(4, dim=-1)
    cell = torch.sigmoid(forget) * cell + torch.sigmoid(inputs) * torch.tanh(new)
    return torch.sigmoid(output) * torch.tanh(cell), cell
