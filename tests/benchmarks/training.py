"""Captions a second, and the share of the matrix rate used. ``python tests/benchmarks/training.py``."""

import random

import torch
from machine import matrix_rate, seconds

from captioner.batch import PAD, Batch, pack_captions
from captioner.compute import Compute
from captioner.config import Config, DatasetConfig, DecoderConfig
from captioner.model.build import CaptionModel, build_decoder
from captioner.model.encoder import Encoder
from captioner.training.objectives import CrossEntropy
from captioner.training.optimisation import Optimisation

VOCABULARY, FEATURE_SIZE, POSITIONS, IMAGES = 2543, 1280, 49, 64
"""As the training captions of Flickr8k and MobileNetV2 give them."""
LENGTHS = {5: 1, 6: 2, 7: 6, 8: 11, 9: 13, 10: 14, 11: 13, 12: 11, 13: 8, 14: 6, 15: 5, 16: 3, 17: 2, 18: 2, 19: 1}
"""Words of a caption of Flickr8k, in per cent, about."""


def make_batch(rng: random.Random) -> Batch:
    """Random words in captions as long as real ones, five an image."""
    lengths = rng.choices(list(LENGTHS), list(LENGTHS.values()), k=5 * IMAGES)
    captions = [[rng.randrange(4, VOCABULARY) for _ in range(length)] for length in lengths]
    features = torch.randn(IMAGES, POSITIONS, FEATURE_SIZE).relu().half()
    return pack_captions(features, [captions[5 * i : 5 * i + 5] for i in range(IMAGES)], start=1, end=2)


def forward_operations(config: DecoderConfig, batch: Batch) -> float:
    """Multiplications and additions of one forward pass's matrix products; only words that are there count."""
    words, hidden, embedding = batch.words, config.hidden_size, config.embedding_size
    operations = words * embedding * VOCABULARY
    if config.type == "transformer":
        # Query, key, value and output of self-attention, query and output of cross-attention, feed-forward network.
        a_word = (4 + 2) * hidden * hidden + 2 * hidden * config.inner_size
        # Comparisons and weighted sums: over the words so far, itself included, and over the picture.
        looks = int((batch.steps + 1)[batch.targets != PAD].sum()) + words * POSITIONS
        an_image = POSITIONS * (FEATURE_SIZE * hidden + config.layers * 2 * hidden * hidden)
        operations += words * hidden * embedding
        return 2.0 * (operations + config.layers * (words * a_word + looks * 2 * hidden) + IMAGES * an_image)
    operations += words * embedding * 4 * hidden
    if config.type == "lstm":
        return 2.0 * (operations + words * hidden * 4 * hidden + IMAGES * FEATURE_SIZE * embedding)
    attention = config.attention_size
    a_word = hidden * (5 * hidden + attention) + hidden * 4 * hidden + POSITIONS * (attention + hidden)
    an_image = POSITIONS * (FEATURE_SIZE * hidden + hidden * attention) + hidden * 2 * hidden
    return 2.0 * (operations + words * (a_word + 2 * hidden * embedding) + IMAGES * an_image)


def main() -> None:
    """Print, for each decoder, three rounds of captions a second and the share of the rate measured beside them."""
    compute = Compute.choose()
    rng = random.Random(1)
    torch.manual_seed(1)
    batches = [make_batch(rng) for _ in range(8)]
    encoder = Encoder.from_settings("mobilenet_v2", weights="none", grid=None, fine_tune=False, image_size=None)
    print(f"{IMAGES} images a batch, {POSITIONS} positions of {FEATURE_SIZE}, {VOCABULARY} words, {compute.precision}")
    for config in (
        DecoderConfig(type="lstm"),
        DecoderConfig(type="attention"),
        DecoderConfig(type="attention", attention_size=256),
        DecoderConfig(type="transformer", layers=3),
    ):
        size = {"attention": f" {config.attention_size}", "transformer": f", {config.layers} layers"}
        name = config.type + size.get(config.type, "")
        model = CaptionModel(encoder, build_decoder(config, FEATURE_SIZE, VOCABULARY)).to(compute.device)
        model.train()
        whole = Config(dataset=DatasetConfig(format="shapes", root=""), decoder=config)
        optimisation = Optimisation(model, CrossEntropy(model, whole, compute, 1000), whole, total_steps=1000)
        on_device = [batch.to(compute.device) for batch in batches]
        for batch in on_device:  # Not counted: memory is fetched from the system only once.
            optimisation.step(batch)
        for _ in range(3):
            rate = matrix_rate(compute.dtype)
            taken = seconds(lambda: [optimisation.step(batch) for batch in on_device])
            # The backward pass forms two products for each of the forward pass.
            operations = 3 * sum(forward_operations(config, batch) for batch in batches)
            captions = sum(len(batch.image_of) for batch in batches)
            print(
                f"{name}: {captions / taken:5.0f} captions/s, "
                f"{operations / taken / 1e9:4.0f} of {rate / 1e9:.0f} GFLOP/s = {operations / taken / rate:.2f}"
            )


if __name__ == "__main__":
    main()
