"""Every setting of the project as a typed, frozen section; its description is its documentation.

The names are public: scripts and documentation rely on them. Reading YAML is ``configfile``'s task.
"""

import os.path
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from captioner.registry import DECODERS, FORMATS, one_of

VERSION: Final = 1
"""Version of the configuration's meaning. A file of another version is refused, never guessed at."""

Positive = Annotated[int, Field(gt=0)]
Seed = Annotated[int, Field(ge=0, lt=1 << 63)]
Fraction = Annotated[float, Field(ge=0.0, lt=1.0)]
Place = Annotated[str, AfterValidator(os.path.expanduser)]
SplitName = Literal["train", "val", "test"]


class Section(BaseModel):
    """Base of all sections: unknown keys and values of another type are errors, and nothing changes later."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True)


class DatasetConfig(Section):
    """Which pictures and captions."""

    format: Annotated[str, one_of(FORMATS)]
    """How captions are stored, as docs/data-formats.md shows; `shapes` is the built-in set, which needs no files."""
    root: Place
    """Folder of the data set. For `shapes` it is generated there when it is missing."""
    captions: str | dict[SplitName, str] | None = None
    """Captions file, relative to `root`, or one for each split; by default the one that the format usually has."""
    images: str | dict[SplitName, str] | None = None
    """Folder of the pictures, relative to `root`, or one for each split; by default the one the format usually has."""
    image_column: str = "image"
    """Column (`csv`) or key (`jsonl`) of the picture's path, relative to `images`."""
    caption_column: str = "caption"
    """Column or key of the caption; in `jsonl` it may hold a list of captions."""
    split_column: str = "split"
    """Column or key of the split's name, where there is one."""
    split_lists: dict[SplitName, str] | None = None
    """For each split a file, relative to root, that names its pictures, one a line; these beat all other splits."""
    val_fraction: Fraction = 0.1
    """Share of the pictures drawn for validation where the data set says nothing of splits."""
    test_fraction: Fraction = 0.1
    """Share of the pictures drawn for the test where the data set says nothing of splits."""
    seed: Seed = 1
    """Seed of that draw, and of the pictures of `shapes`."""
    size: Positive = 4000
    """Pictures that `shapes` generates."""
    allow_missing: bool = False
    """Go on without the pictures that have captions but no file; otherwise they are an error."""


class VocabConfig(Section):
    """Which words the model may use."""

    min_count: Positive = 5
    """A word must occur this often in the training captions to enter the vocabulary."""


class EncoderConfig(Section):
    """The network that turns a picture into features."""

    backbone: str = "resnet50"
    """Any classification model of torchvision, by its name there."""
    weights: Place = "default"
    """`default` (torchvision's), `none` (random, to train from scratch), or the path of a state dict."""
    last_stage: str | None = None
    """The stage of the backbone that gives the features, such as a ResNet's `layer3`; by default its last one.
    Earlier ones have a finer grid (K. Xu et al., arXiv 1502.03044, section 3.1.1), and are cheaper."""
    fine_tune: bool | str = False
    """`false`: features are computed once. `true`: all is trained. A stage's name: from that stage on."""
    smallest_crop: Annotated[float, Field(gt=0, le=1)] = 1.0
    """An encoder in training sees parts of pictures, drawn by chance, of at least this share of their area; 1: all.
    Parts have fewer pixels than `image_size`: things are as large in them, on average, as in whole pictures."""
    keep: bool = False
    """Put torchvision's own weights into the checkpoint too, so that it needs no network; others always are."""
    grid: Positive | None = None
    """Pool the features to grid x grid positions; by default they stay as the backbone gives them."""
    image_size: Positive | None = None
    """Side of the square that the encoder sees, in pixels; by default the one its weights were trained with."""

    @field_validator("smallest_crop")
    @classmethod
    def _stored_features_are_of_whole_pictures(cls, share: float, info: ValidationInfo) -> float:
        if share < 1 and info.data.get("fine_tune") is False:
            raise ValueError("expected 1 unless encoder.fine_tune is set: features are stored of whole pictures")
        return share


class FeaturesConfig(Section):
    """The store of features that a frozen encoder has computed."""

    path: Place | None = None
    """Folder of the store; by default `features/<backbone>-<fingerprint>` under the current folder."""
    flip: bool = False
    """Also store the features of the mirrored picture, and train on either, drawn by chance."""


class DecoderConfig(Section):
    """The network that turns features into words."""

    type: Annotated[str, one_of(DECODERS)] = "attention"
    """`lstm`: Show and Tell. `attention`: Show, Attend and Tell. `transformer`: attention alone."""
    conditioning: Literal["first", "initial", "every"] = "first"
    """How the picture enters an `lstm`: as first token, as initial state, or beside the word at every step."""
    embedding_size: Positive = 512
    """Size of a word's vector."""
    hidden_size: Positive = 512
    """Size of the LSTM's state; the width of a `transformer`, and of the refiner."""
    attention_size: Positive = 512
    """Size of the space in which `attention` compares its state with the grid's positions."""
    layers: Positive = 1
    """Stacked layers (`lstm` and `transformer`)."""
    dropout: Fraction = 0.5
    """Dropout on the projected features, the words' vectors and the output, or what each sub-layer adds."""
    tie_embeddings: bool | None = None
    """Use the words' vectors as the output layer's weights too; by default only a `transformer` does."""
    refiner_layers: Annotated[int, Field(ge=0)] = 0
    """Layers of self-attention among the grid's positions, before a decoder of any type sees them."""
    heads: Annotated[int, Field(gt=0, validate_default=True)] = 8
    """Heads of a `transformer`'s and the refiner's attention; they share hidden_size evenly."""
    feed_forward_size: Positive | None = None
    """Inner size of a `transformer`'s and the refiner's feed-forward networks; by default 4 times hidden_size."""
    word_vectors: Place | None = None
    """File of word vectors to begin with (GloVe, word2vec or fastText, as text), or `spacy:` and a pipeline's name."""
    tune_word_vectors: bool = True
    """Train the words' vectors too; `false` keeps those of `word_vectors` as they are."""

    @field_validator("heads")
    @classmethod
    def _heads_divide_the_width(cls, heads: int, info: ValidationInfo) -> int:
        width = info.data.get("hidden_size", heads)
        used = info.data.get("type") == "transformer" or info.data.get("refiner_layers")
        if used and width % heads:
            nearest = max(number for number in range(1, heads) if width % number == 0)
            raise ValueError(f"expected a divisor of decoder.hidden_size, which is {width} (such as {nearest})")
        return heads

    @field_validator("tune_word_vectors")
    @classmethod
    def _random_vectors_are_tuned(cls, tune: bool, info: ValidationInfo) -> bool:
        if not tune and info.data.get("word_vectors", "wrong") is None:
            raise ValueError("expected true, since no decoder.word_vectors are given that could stay as they are")
        return tune

    @property
    def tied(self) -> bool:
        """Whether the words' vectors are the output layer's weights."""
        return self.type == "transformer" if self.tie_embeddings is None else self.tie_embeddings

    @property
    def inner_size(self) -> int:
        """Of feed-forward networks."""
        return self.feed_forward_size or 4 * self.hidden_size


class TrainingConfig(Section):
    """How the model is trained."""

    objective: Literal["cross_entropy", "self_critical"] = "cross_entropy"
    """`cross_entropy`: say what people said. `self_critical`: captions that score well; begin with a trained model."""
    begin_with: Place | None = None
    """Run or checkpoint whose weights and vocabulary training begins with; encoder and decoder must be the same."""
    epochs: Positive = 20
    """Passes over the training captions, at most."""
    batch_size: Positive = 64
    """Images in a batch; each brings all its captions."""
    seed: Seed = 1
    """Seed of everything random. The same seed on the same machine gives the same model."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """`auto` takes a GPU when there is one."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Precision of the matrix products; `auto` measures which is faster. Weights stay in float32."""
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    """Peak learning rate of the decoder (AdamW)."""
    encoder_learning_rate: Annotated[float, Field(gt=0)] = 1e-4
    """Peak learning rate of the part of the encoder that is fine-tuned."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    """AdamW's decay of matrices; biases, gains and embeddings are never decayed."""
    schedule: Literal["cosine", "plateau"] = "cosine"
    """`cosine` falls to zero over all epochs; `plateau` halves whenever validation CIDEr stops rising."""
    warmup_steps: Annotated[int, Field(ge=0)] = 200
    """Steps over which the learning rate rises from zero to its peak; a tenth of all steps at most."""
    clip_norm: Annotated[float, Field(gt=0)] = 5.0
    """Largest norm of the gradient; a longer one is scaled down."""
    label_smoothing: Fraction = 0.1
    """Share of the target's probability that is spread over the whole vocabulary (`cross_entropy` only)."""
    attention_penalty: Annotated[float, Field(ge=0)] = 1.0
    """Weight of the term that asks attention to visit every position (`attention` that learns by `cross_entropy`)."""
    scheduled_sampling: Fraction = 0.0
    """Share of the words before that are the model's own in the last step; it rises evenly from 0 (`cross_entropy`)."""
    average_decay: Fraction = 0.0
    """Validate and keep an exponential moving average of the weights that forgets 1 - this at a step; 0: none.
    With `begin_with`, a slow one (0.999) keeps part of the model begun with, which often is better than either."""
    patience: Positive = 5
    """Stop after this many epochs without a better validation CIDEr."""
    checkpoint_minutes: Annotated[float, Field(gt=0)] = 10.0
    """A checkpoint is written whenever so long has passed since the last one, and after each epoch."""


class SelfCriticalConfig(Section):
    """How `training.objective: self_critical` finds captions, and what it holds them against."""

    method: Literal["sample", "beam"] = "sample"
    """Captions are drawn by chance, or found by beam search."""
    captions: Annotated[int, Field(gt=1)] = 5
    """For each picture."""
    baseline: Literal["others", "greedy"] = "others"
    """A caption must score better than the picture's other captions do on average, or than the greedy one."""
    bleu_weight: Annotated[float, Field(ge=0)] = 0.0
    """A caption's score is its CIDEr plus this times its BLEU-4."""


SEARCHES = ("beam", "diverse_beam", "consensus")
"""Methods of sampling that keep `sampling.beam_size` beginnings of each picture."""


class SamplingConfig(Section):
    """How a caption is chosen from the model's next-word probabilities."""

    method: Literal["greedy", "beam", "diverse_beam", "consensus", "sample"] = "beam"
    """The likeliest word each time, the likeliest beginnings, those of groups that differ, of what `beam` finds the
    caption that agrees most with all of it, or words drawn by chance."""
    beam_size: Positive = 5
    """Beginnings kept for each picture by `beam` and `consensus`, and by all groups of `diverse_beam` together."""
    max_length: Positive = 20
    """Longest caption, in words."""
    length_penalty: Annotated[float, Field(ge=0, le=10)] = 1.0
    """Captions rank by log-probability / length ** length_penalty: 0 favours short ones, 1 is the mean per word.
    `consensus` ranks by agreement, and by this only what may vote."""
    beam_groups: Positive | None = None
    """Groups of `diverse_beam`, which share its beams evenly; by default each beam is a group."""
    diversity_strength: Annotated[float, Field(ge=0)] = 0.5
    """What a word loses in `diverse_beam`, in log-probability, for each beam of an earlier group that has taken it."""
    temperature: Annotated[float, Field(ge=0.001, le=1000)] = 1.0
    """`sample` divides log-probabilities by this: below 1 likely words become likelier, above 1 less so."""
    top_k: Annotated[int, Field(ge=0)] = 0
    """`sample` draws among this many likeliest words; 0: among all."""
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    """`sample` draws among the fewest likeliest words that have this probability together."""
    seed: Seed = 1
    """Seed of `sample`. A picture's draws depend on it and on the picture's number only."""
    min_length: Annotated[int, Field(ge=0)] = 0
    """Shortest caption, in words."""
    no_repeat_ngram: Annotated[int, Field(ge=0)] = 0
    """No caption has the same so many words in a row twice; 0: it may."""
    banned_words: list[str] = []
    """Words of the vocabulary that no caption has."""
    bad_endings: Literal["allow", "forbid"] = "allow"
    """Whether a caption may end in a word such as `a`, `of` or `with`."""

    @property
    def groups(self) -> int:
        """Groups that the beams are shared among; one is plain beam search."""
        return (self.beam_groups or self.beam_size) if self.method == "diverse_beam" else 1

    @model_validator(mode="after")
    def _fit_together(self) -> "SamplingConfig":
        if self.beam_size % self.groups:
            raise ValueError(f"beam_size {self.beam_size} cannot be shared evenly among beam_groups {self.groups}")
        if self.min_length > self.max_length:
            raise ValueError(f"min_length {self.min_length} is above max_length {self.max_length}")
        return self


class Config(Section):
    """A whole experiment."""

    version: Literal[1] = VERSION
    """Version of this file's meaning."""
    dataset: DatasetConfig
    vocab: VocabConfig = VocabConfig()
    encoder: EncoderConfig = EncoderConfig()
    features: FeaturesConfig = FeaturesConfig()
    decoder: DecoderConfig = DecoderConfig()
    training: TrainingConfig = TrainingConfig()
    self_critical: SelfCriticalConfig = SelfCriticalConfig()
    sampling: SamplingConfig = SamplingConfig()
