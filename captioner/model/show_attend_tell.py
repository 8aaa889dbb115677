"""Show, Attend and Tell: an LSTM that looks at part of the picture for each word.

K. Xu et al., "Show, Attend and Tell: Neural Image Caption Generation with Visual Attention", ICML 2015,
arXiv 1502.03044: soft attention (section 4.2) with the gate beta (section 4.2.1), the initial state from the mean
feature (section 3.1.2) and the deep output layer (equation 7).
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from captioner.batch import PAD, Batch
from captioner.model.attention_lstm import Glance, advance, unroll
from captioner.model.decoder import Decoded, Decoder, DecoderState
from captioner.model.packing import matrix
from captioner.model.soft_attention import EvenRows, Rows, factors


class ShowAttendTell(Decoder):
    """LSTM decoder with gated soft attention over the grid's positions."""

    gates_of_words: Tensor | None
    """(V, 4H): what ``from_word`` makes of each word, once ``prepare`` has been called."""

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
        self.value = nn.Sequential(nn.Linear(feature_size, hidden_size), nn.ReLU())
        self.key = nn.Linear(hidden_size, attention_size)
        self.score = nn.Parameter(torch.empty(attention_size).uniform_(-1, 1) * attention_size**-0.5)
        self.initial = nn.Linear(hidden_size, 2 * hidden_size)
        # What the state before the word gives, in one product: the LSTM's four gates, the query, the context's gate.
        self.from_word = nn.Linear(embedding_size, 4 * hidden_size)
        self.register_buffer("gates_of_words", None, persistent=False)
        self.from_state = nn.Linear(hidden_size, 5 * hidden_size + attention_size, bias=False)
        self.from_context = nn.Linear(hidden_size, 4 * hidden_size, bias=False)
        self.state_to_output = nn.Linear(hidden_size, embedding_size)
        self.context_to_output = nn.Linear(hidden_size, embedding_size, bias=False)

    @torch.no_grad()
    def prepare(self) -> None:
        """See ``Decoder.prepare``: each word's share of the gates, which is a fifth of what a step computes."""
        super().prepare()
        self.gates_of_words = self.from_word(self.embedding.weight)

    def forward(self, features: Tensor, batch: Batch) -> Decoded:
        """Teacher forcing: whatever does not depend on the state is computed before the recurrence, or after it."""
        values, keys, hidden, cell = self._look(features)
        words = self.dropout(self.embedding(batch.inputs).to(values.dtype))
        glance = self._glance(factors(keys.detach()), values, Rows(batch.image_of, len(values)))
        counted = (batch.targets != PAD).unsqueeze(1).float()
        states, contexts, attention = unroll(
            glance, keys, self.from_word(words), hidden[batch.image_of], cell[batch.image_of], counted, batch.active
        )
        return Decoded(self._deep_output(states, self.context_to_output(contexts), words), attention)

    def _look(self, features: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Features (B, P, D) -> values (B, P, H), keys (B, P, A), and the initial h and c (B, H)."""
        values = self.dropout(self.value(self.grid(features)))
        hidden, cell = torch.tanh(self.initial(values.mean(dim=1))).float().chunk(2, dim=-1)
        return values, self.key(values), hidden, cell

    def _glance(self, key_factors: Tensor, values: Tensor, rows: Rows) -> Glance:
        from_state, from_context = matrix(self.from_state), matrix(self.from_context)
        return Glance(key_factors, values, from_state, from_context, self.score.float(), rows)

    def _deep_output(self, hidden: Tensor, seen: Tensor, words: Tensor) -> Tensor:
        """Equation 7, of the state, what ``context_to_output`` makes of the context, and the word before."""
        deep = self.state_to_output(self.dropout(hidden)) + seen + words
        output: Tensor = self.dropout(deep)
        return output

    def start(self, features: Tensor) -> DecoderState:
        """See ``Decoder.start``."""
        values, keys, hidden, cell = self._look(features)
        return DecoderState((hidden.to(values.dtype), cell), (values, factors(keys)))

    def step(self, words: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState]:
        """See ``Decoder.step``. Beams that continue one beginning look at the picture once, together."""
        values, key_factors = state.images
        vectors = self.embedding(words)
        # An exported graph is better small: of ten thousand words the table has 80 MB.
        table = None if torch.compiler.is_compiling() else self.gates_of_words
        gates = self.from_word(vectors) if table is None else F.embedding(words, table)
        shared, places = state.shared(), None
        rows: Rows = EvenRows(values.shape[0], words.shape[0] // values.shape[0])
        if shared is None:
            hidden, cell = state.rows
        else:
            (hidden, cell), image_of, places = shared
            rows = Rows(image_of, len(values))
        after = advance(self._glance(key_factors, values, rows), gates, hidden, cell, places)
        seen = self.context_to_output(after.context)
        if places is not None:
            seen = seen.index_select(0, places)
        scores = self.logits(self._deep_output(after.hidden, seen, vectors))
        return scores, DecoderState((after.hidden, after.cell), state.images)

    def attention(self, features: Tensor, inputs: Tensor) -> Tensor:
        """See ``Decoder.attention``: alpha of the paper's equation 5."""
        values, keys, hidden, cell = self._look(features)
        glance = self._glance(factors(keys), values, EvenRows(len(values), 1))
        hidden = hidden.to(values.dtype)
        weights = cell.new_empty(*inputs.shape, keys.shape[1])
        for place, word in enumerate(self.from_word(self.embedding(inputs)).unbind(dim=1)):
            step = advance(glance, word, hidden, cell)
            hidden, cell, weights[:, place] = step.hidden, step.cell, step.weights
        return weights
