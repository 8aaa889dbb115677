"""The popular tutorial's decoder, trained by a plain loop and by captioner. ``python tests/benchmarks/tutorial.py``.

Both have 196 positions of 2,048 features, as of ResNet-101 at 14x14, an attention, a state and an embedding of 512 and
the vocabulary of COCO. The plain loop is what one writes first: float32, ``nn.LSTMCell``, a picture for each caption.
"""

import random

import torch
from machine import argument, matrix_rate, seconds
from torch import Tensor, nn
from training import LENGTHS

from captioner.batch import Batch, pack_captions
from captioner.compute import Compute
from captioner.config import Config, DatasetConfig, DecoderConfig
from captioner.model.build import CaptionModel, build_decoder
from captioner.model.encoder import Encoder
from captioner.training.objectives import CrossEntropy
from captioner.training.optimisation import Optimisation

VOCABULARY, FEATURE_SIZE, POSITIONS, SIZE, IMAGES = 9490, 2048, 196, 512, 32
CONFIG = DecoderConfig(type="attention", embedding_size=SIZE, hidden_size=SIZE, attention_size=SIZE, dropout=0.5)


class Plain(nn.Module):
    """Show, Attend and Tell with soft attention and gate, step by step."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, SIZE)
        self.begin_hidden, self.begin_cell = nn.Linear(FEATURE_SIZE, SIZE), nn.Linear(FEATURE_SIZE, SIZE)
        self.of_features, self.of_hidden = nn.Linear(FEATURE_SIZE, SIZE), nn.Linear(SIZE, SIZE)
        self.energy, self.gate = nn.Linear(SIZE, 1), nn.Linear(SIZE, FEATURE_SIZE)
        self.cell = nn.LSTMCell(SIZE + FEATURE_SIZE, SIZE)
        self.dropout, self.output = nn.Dropout(0.5), nn.Linear(SIZE, VOCABULARY)

    def forward(self, features: Tensor, inputs: Tensor, lengths: list[int]) -> tuple[Tensor, Tensor]:
        """Features (B, P, D), words (B, T), the longest first -> scores (B, T, V) and attention (B, T, P)."""
        embedded = self.embedding(inputs)
        mean = features.mean(dim=1)
        hidden, cell = self.begin_hidden(mean), self.begin_cell(mean)
        scores = features.new_zeros(*inputs.shape, VOCABULARY)
        attention = features.new_zeros(*inputs.shape, POSITIONS)
        for step in range(inputs.shape[1]):
            rows = sum(length > step for length in lengths)
            hidden, cell = hidden[:rows], cell[:rows]
            compared = (self.of_features(features[:rows]) + self.of_hidden(hidden).unsqueeze(1)).relu()
            weights = self.energy(compared).squeeze(2).softmax(dim=1)
            looked = self.gate(hidden).sigmoid() * (features[:rows] * weights.unsqueeze(2)).sum(dim=1)
            hidden, cell = self.cell(torch.cat([embedded[:rows, step], looked], dim=1), (hidden, cell))
            scores[:rows, step] = self.output(self.dropout(hidden))
            attention[:rows, step] = weights
        return scores, attention


class PlainTraining:
    """Cross-entropy with doubly stochastic attention, gradients clipped, Adam."""

    def __init__(self) -> None:
        self.model = Plain().train()
        self.optimiser = torch.optim.Adam(self.model.parameters(), lr=4e-4)

    def step(self, batch: tuple[Tensor, list[list[int]]]) -> None:
        """One batch: features (B, P, D), and a caption for each."""
        features, captions = batch
        lengths = [len(caption) + 1 for caption in captions]
        words = nn.utils.rnn.pad_sequence([torch.tensor([1, *caption, 2]) for caption in captions], batch_first=True)
        scores, attention = self.model(features, words[:, :-1], lengths)
        kept = torch.arange(scores.shape[1]) < torch.tensor(lengths).unsqueeze(1)
        loss = nn.functional.cross_entropy(scores[kept], words[:, 1:][kept])
        loss = loss + ((1 - attention.sum(dim=1)) ** 2).mean()
        self.optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_value_(self.model.parameters(), 5.0)
        self.optimiser.step()


def caption(rng: random.Random) -> list[int]:
    """Random words, as many as captions have."""
    (length,) = rng.choices(list(LENGTHS), list(LENGTHS.values()))
    return [rng.randrange(4, VOCABULARY) for _ in range(length)]


def plain_batch(rng: random.Random) -> tuple[Tensor, list[list[int]]]:
    """Pictures with a caption each, the longest first."""
    captions = sorted((caption(rng) for _ in range(IMAGES)), key=len, reverse=True)
    return torch.randn(IMAGES, POSITIONS, FEATURE_SIZE).relu(), captions


def packed_batch(rng: random.Random) -> Batch:
    """Pictures with five captions each, as they are read from stored features."""
    features = torch.randn(IMAGES, POSITIONS, FEATURE_SIZE).relu().half()
    return pack_captions(features, [[caption(rng) for _ in range(5)] for _ in range(IMAGES)], start=1, end=2)


def captioners(compute: Compute) -> Optimisation:
    """The same architecture, here."""
    encoder = Encoder.from_settings("mobilenet_v2", weights="none", grid=None, fine_tune=False, image_size=None)
    model = CaptionModel(encoder, build_decoder(CONFIG, FEATURE_SIZE, VOCABULARY)).to(compute.device).train()
    whole = Config(dataset=DatasetConfig(format="shapes", root=""), decoder=CONFIG)
    return Optimisation(model, CrossEntropy(model, whole, compute, 1000), whole, total_steps=1000)


def main() -> None:
    """Print rounds of captions a second of both, and their ratio."""
    compute = Compute.choose("cpu")
    rng = random.Random(1)
    torch.manual_seed(1)
    plain, ours = PlainTraining(), captioners(compute)
    few, many = [plain_batch(rng) for _ in range(2)], [packed_batch(rng) for _ in range(2)]
    rates = " and ".join(f"{matrix_rate(dtype) / 1e9:.0f} {dtype}" for dtype in {torch.float32, compute.dtype})
    print(f"{torch.get_num_threads()} threads, matrix rates in GFLOP/s: {rates}; captioner in {compute.precision}")
    plain.step(few[0])
    ours.step(many[0])
    for _ in range(argument(3)):
        loop = 2 * IMAGES / seconds(lambda: [plain.step(batch) for batch in few])
        rate = 2 * 5 * IMAGES / seconds(lambda: [ours.step(batch) for batch in many])
        print(f"plain loop {loop:.1f} captions/s, captioner {rate:.0f}: {rate / loop:.1f} times", flush=True)


if __name__ == "__main__":
    main()
