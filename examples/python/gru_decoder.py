"""A decoder of one's own in one file: a GRU that begins with the picture. It takes all of captioner's commands.

python gru_decoder.py train --config examples/shapes.yaml --set decoder.type=gru --run runs/gru
python gru_decoder.py caption beach.jpg --model runs/gru
"""

import torch
from torch import Tensor, nn

from captioner import register_decoder
from captioner.batch import Batch
from captioner.cli.app import main
from captioner.config import DecoderConfig
from captioner.model.decoder import Decoded, Decoder, DecoderState


class GruDecoder(Decoder):
    """K. Cho et al., arXiv 1406.1078, whose first state is made of the picture's mean feature."""

    def __init__(self, config: DecoderConfig, feature_size: int, vocabulary_size: int) -> None:
        super().__init__(vocabulary_size, config.embedding_size, config.dropout, config.tied)
        self.image = nn.Linear(feature_size, config.hidden_size)
        self.gru = nn.GRUCell(config.embedding_size, config.hidden_size)
        self.to_embedding = nn.Linear(config.hidden_size, config.embedding_size)

    def forward(self, features: Tensor, batch: Batch) -> Decoded:
        """Teacher forcing: at each step, the first ``count`` rows of the batch still run."""
        hidden, states = self.initial(features)[batch.image_of], []
        words = self.dropout(self.embedding(batch.inputs))
        for count, word in zip(batch.active, torch.split(words, list(batch.active)), strict=True):
            hidden = self.gru(word, hidden[:count])
            states.append(hidden)
        return Decoded(self.dropout(self.to_embedding(torch.cat(states))))

    def initial(self, features: Tensor) -> Tensor:
        """Features (B, P, D) -> the first state (B, H)."""
        return torch.tanh(self.image(self.grid(features).mean(dim=1)))

    def start(self, features: Tensor) -> DecoderState:
        """The state before the first word, a row for each picture."""
        return DecoderState((self.initial(features),))

    def step(self, words: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState]:
        """One word further."""
        hidden = self.gru(self.embedding(words), state.rows[0])
        return self.logits(self.to_embedding(hidden)), DecoderState((hidden,))


register_decoder("gru", GruDecoder)

if __name__ == "__main__":
    main()
