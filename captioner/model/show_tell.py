"""Show and Tell: an LSTM that sees the picture once (as first token or initial state) or beside every word.

O. Vinyals, A. Toshev, S. Bengio, D. Erhan, "Show and Tell: A Neural Image Caption Generator", CVPR 2015,
arXiv 1411.4555, section 3; the initial state as in A. Karpathy, L. Fei-Fei, CVPR 2015, and the picture at every
step as in J. Mao et al., "Deep Captioning with Multimodal Recurrent Neural Networks", ICLR 2015.
"""

from typing import Literal

import torch
from torch import Tensor, nn

from captioner.batch import Batch
from captioner.model.decoder import Decoded, Decoder, DecoderState

Conditioning = Literal["first", "initial", "every"]


class ShowTell(Decoder):
    """LSTM decoder over the mean of the picture's grid, projected, rectified and dropped out."""

    standardises = True

    def __init__(
        self,
        feature_size: int,
        vocabulary_size: int,
        *,
        embedding_size: int,
        hidden_size: int,
        layers: int,
        conditioning: Conditioning,
        dropout: float,
        tie_embeddings: bool,
    ) -> None:
        super().__init__(vocabulary_size, embedding_size, dropout, tie_embeddings)
        if not tie_embeddings:
            # As long as pretrained vectors are: from short ones, an LSTM that has only its input learns slowly.
            self.embedding.weight.data.mul_(0.35 * embedding_size**0.5)
        self.conditioning = conditioning
        self.image = nn.Linear(feature_size, embedding_size)
        self.initial = nn.Linear(embedding_size, 2 * layers * hidden_size) if conditioning == "initial" else None
        input_size = embedding_size * (2 if conditioning == "every" else 1)
        # torch's own dropout between layers draws inside the fused kernel, only where there is a next layer.
        self.lstm = nn.LSTM(input_size, hidden_size, layers, dropout=dropout if layers > 1 else 0.0)
        self.to_embedding = nn.Linear(hidden_size, embedding_size) if hidden_size != embedding_size else nn.Identity()

    def forward(self, features: Tensor, batch: Batch) -> Decoded:
        """The fused LSTM over whole captions; only positions that hold a word reach the output layer."""
        image = self.embed_image(features)
        rows, steps = (index.to(image.device) for index in (batch.rows, batch.steps))
        words = self.dropout(self.embedding(batch.inputs).to(image.dtype))
        inputs = words.new_zeros(len(batch.active), len(batch.image_of), words.shape[-1])
        inputs = inputs.index_put((steps, rows), words)
        image_of_rows = image[batch.image_of]
        if self.conditioning == "first":
            inputs, steps = torch.cat([image_of_rows.unsqueeze(0), inputs]), steps + 1
        elif self.conditioning == "every":
            inputs = torch.cat([inputs, image_of_rows.expand(len(inputs), -1, -1)], dim=-1)
        hidden, _ = self.lstm(inputs, self.initial_state(image_of_rows))
        return Decoded(self.dropout(self.to_embedding(hidden[steps, rows])))

    def embed_image(self, features: Tensor) -> Tensor:
        """Features (B, P, D) -> the picture's vector (B, E)."""
        image: Tensor = self.dropout(torch.relu(self.image(self.grid(features).mean(dim=1))))
        return image

    def initial_state(self, image: Tensor) -> tuple[Tensor, Tensor] | None:
        """Pictures' vectors (N, E) -> h and c, each (layers, N, H), or None for zeros."""
        if self.initial is None:
            return None
        h, c = self.initial(image).unflatten(-1, (2, self.lstm.num_layers, -1)).permute(1, 2, 0, 3)
        return torch.tanh(h).contiguous(), c.contiguous()

    def start(self, features: Tensor) -> DecoderState:
        """See ``Decoder.start``."""
        image = self.embed_image(features)
        state = self.initial_state(image)
        if self.conditioning == "first":
            _, state = self.lstm(image.unsqueeze(0), state)
        elif state is None:
            zeros = image.new_zeros(self.lstm.num_layers, image.shape[0], self.lstm.hidden_size)
            state = zeros, zeros
        h, c = (part.transpose(0, 1) for part in state)
        return DecoderState((h, c), (image,))

    def step(self, words: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState]:
        """See ``Decoder.step``."""
        inputs = self.embedding(words)
        if self.conditioning == "every":
            (image,) = state.images
            inputs = torch.cat([inputs, image.repeat_interleave(words.shape[0] // image.shape[0], dim=0)], dim=-1)
        h, c = (part.transpose(0, 1).contiguous() for part in state.rows)
        hidden, (h, c) = self.lstm(inputs.unsqueeze(0), (h, c))
        scores = self.logits(self.to_embedding(hidden[0]))
        return scores, DecoderState((h.transpose(0, 1), c.transpose(0, 1)), state.images)
