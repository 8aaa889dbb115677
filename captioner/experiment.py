"""A config's parts, each made once when it is first asked for: data set, vocabulary, encoder, pictures, model."""

from collections.abc import Collection, Sequence
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from captioner import __version__
from captioner.checkpoint import Checkpoint, fill, load_checkpoint
from captioner.compute import Compute
from captioner.config import Config
from captioner.configfile import dump_config
from captioner.constraints import rules_of
from captioner.data.annotations import Dataset, Record, load_dataset
from captioner.data.batches import Batches
from captioner.data.features import FeatureStore, Picture
from captioner.data.formats.reading import counted, named
from captioner.data.pictures import PictureFiles, Pictures, StoredPictures
from captioner.data.word_vectors import load_word_vectors
from captioner.errors import DatasetError, UsageError
from captioner.evaluation.evaluator import Validation
from captioner.events import Listener, Note, Warned
from captioner.files import write_text
from captioner.model.build import CaptionModel, build_decoder, build_encoder
from captioner.model.encoder import Encoder
from captioner.preprocess import fill_store, open_store
from captioner.text import tokenize
from captioner.training.objectives import CrossEntropy, Objective, SelfCritical
from captioner.training.trainer import Trainer
from captioner.vocab import Coverage, Vocabulary


class Experiment:
    """What a config describes; commands take the parts they need, and only those are made."""

    def __init__(self, config: Config, listener: Listener) -> None:
        self.config = config
        self.listener = listener
        self.root = Path(config.dataset.root)

    @cached_property
    def compute(self) -> Compute:
        """Device and precision."""
        return Compute.choose(self.config.training.device, self.config.training.precision)

    @cached_property
    def dataset(self) -> Dataset:
        """Raises ``DatasetError`` unless every caption has its picture, or missing ones are allowed."""
        dataset = load_dataset(self.config.dataset)
        for note in dataset.notes():
            self.listener(Warned(note))
        return dataset

    @cached_property
    def training_captions(self) -> dict[int | str, list[list[str]]]:
        """The words of each training picture's captions, by its id. Raises ``DatasetError`` for one without words."""
        records = self.dataset.split("train")
        captions = {record.image_id: [tokenize(text) for text in record.captions] for record in records}
        wordless = [record.file.name for record in records if not all(captions[record.image_id])]
        if wordless:
            raise DatasetError(
                f"{counted(len(wordless), 'training picture')} with a caption that has no word: {named(wordless)}",
                "write or delete it: the model would learn to say nothing",
            )
        return captions

    @cached_property
    def beginning(self) -> Checkpoint | None:
        """What ``training.begin_with`` names. Raises ``UsageError`` if its encoder or decoder is another."""
        path = self.config.training.begin_with
        if path is None:
            return None
        checkpoint = load_checkpoint(Path(path))
        changed = _changed(checkpoint.config, self.config, ("encoder", "decoder"), _MAY_BEGIN_OTHERWISE)
        if changed:
            raise UsageError(f"{path} cannot be begun with: {'; '.join(changed)}", "set these as they were there")
        return checkpoint

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """The words of the training captions, and of no others; or those of the model that training begins with."""
        if self.beginning is not None:
            return self.beginning.vocabulary
        captions = (words for several in self.training_captions.values() for words in several)
        vocabulary = Vocabulary.build(captions, self.config.vocab.min_count)
        self.listener(Note(f"vocabulary: {len(vocabulary):,} words, built from the training captions"))
        return vocabulary

    def coverage(self) -> dict[str, Coverage]:
        """How much of each split's captions the vocabulary knows."""
        return {
            split: self.vocabulary.coverage(
                tokenize(text) for record in self.dataset.split(split) for text in record.captions
            )
            for split in self.dataset.sizes()
        }

    @cached_property
    def encoder(self) -> Encoder:
        """Seeded, so that a random one is the same every time."""
        torch.manual_seed(self.config.training.seed)
        encoder = build_encoder(self.config.encoder)
        if self.beginning is not None:
            fill(encoder, self.beginning.model.encoder.state_dict(), self.beginning.folder)
        return encoder

    def pictures(self, split: str) -> tuple[list[Record], Pictures]:
        """A split's records and their pictures: as stored features, computed where missing, if the encoder is frozen.

        Pictures that cannot be read are an error, or left out where missing ones are allowed.
        """
        records = self.dataset.split(split)
        files = [record.file for record in records]
        if not self.encoder.frozen:
            return records, PictureFiles(files, self.encoder.transform, self.config.features.flip)
        allowed = self.config.dataset.allow_missing
        fill_store(self.store, self.encoder, files, self.root, self.compute, self.listener, allowed)
        records = [record for record in records if Picture.of(record.file, self.root) in self.store]
        return records, StoredPictures(self.store, [record.file for record in records], self.root)

    @cached_property
    def store(self) -> FeatureStore:
        """Raises ``FeatureError`` if ``features.path`` holds features of another encoder."""
        return open_store(self.config.features, self.encoder)

    def validation(self, split: str) -> Validation:
        """A split, ready to be scored."""
        records, pictures = self.pictures(split)
        return Validation(records, pictures, f"{Path(self.dataset.name).name}, {records[0].split}")

    def trainer(self, run: Path, resume: bool) -> Trainer:
        """A trainer for the folder ``run``, at the beginning or, to ``resume``, where the last run stopped.

        Raises ``UsageError`` when ``run`` already holds another run, or none to resume.
        """
        last = run / "last"
        if resume and not last.is_dir():
            raise UsageError(f"there is no run to resume in {run}", "leave out --resume to begin one")
        if not resume and last.is_dir():
            raise UsageError(f"{run} already holds a run", "go on with it by --resume, or choose another --run folder")
        if resume:
            checkpoint = load_checkpoint(last)
            _check_same(checkpoint.config, self.config, run)
            model, self.vocabulary, self.encoder = checkpoint.model, checkpoint.vocabulary, checkpoint.model.encoder
        else:
            model = self._new_model()
            write_text(run / "vocabulary.json", self.vocabulary.to_json())
            write_text(run / "config.yaml", dump_config(self.config))
        rules_of(self.vocabulary, self.config.sampling)  # Wrong ones are refused now, not after the first epoch.
        records, pictures = self.pictures("train")
        captions = [
            [self.vocabulary.encode(words) for words in self.training_captions[record.image_id]] for record in records
        ]
        settings = self.config.training
        batches = Batches(captions, pictures, batch_size=settings.batch_size, seed=settings.seed)
        validation = self.validation("val")
        trainer = Trainer(
            model,
            self._objective(model, records, settings.epochs * len(batches)),
            self.vocabulary,
            batches,
            validation,
            self.config,
            run,
            self._provenance(),
            self.compute,
            self.listener,
        )
        if resume:
            trainer.resume()
        return trainer

    def _new_model(self) -> CaptionModel:
        encoder = self.encoder
        torch.manual_seed(self.config.training.seed)
        _, feature_size = encoder.feature_shape()
        settings, seed = self.config.decoder, self.config.training.seed
        decoder = build_decoder(settings, feature_size, len(self.vocabulary))
        if self.beginning is not None:
            fill(decoder, self.beginning.model.decoder.state_dict(), self.beginning.folder)
        elif settings.word_vectors is not None:
            size = settings.embedding_size
            vectors = load_word_vectors(settings.word_vectors, self.vocabulary, size, seed, self.listener)
            decoder.set_word_vectors(vectors)
        return CaptionModel(encoder, decoder)

    def _objective(self, model: CaptionModel, records: list[Record], total_steps: int) -> Objective:
        if self.config.training.objective == "cross_entropy":
            return CrossEntropy(model, self.config, self.compute, total_steps)
        references = [self.training_captions[record.image_id] for record in records]
        return SelfCritical(model, self.vocabulary, references, self.config, self.compute)

    def _provenance(self) -> dict[str, Any]:
        return {
            "captioner": __version__,
            "torch": version("torch"),
            "torchvision": version("torchvision"),
            "dataset": {"name": self.dataset.name, "pictures": self.dataset.sizes()},
        }


def _check_same(before: Config, now: Config, run: Path) -> None:
    """Resuming with other settings would end nowhere; only where things lie may have changed."""
    changed = _changed(before, now, tuple(name for name in Config.model_fields if name != "version"), _MAY_CHANGE)
    if changed:
        raise UsageError(
            f"{run} was begun with other settings: {'; '.join(changed)}",
            f"resume it with --config {run / 'config.yaml'}, or begin a new run",
        )


def _changed(before: Config, now: Config, sections: Sequence[str], allowed: Collection[tuple[str, str]]) -> list[str]:
    return [
        f"{section}.{key} was {value!r}, is {getattr(getattr(now, section), key)!r}"
        for section in sections
        for key, value in getattr(before, section).model_dump().items()
        if value != getattr(getattr(now, section), key) and (section, key) not in allowed
    ]


_MAY_CHANGE = {
    ("dataset", "root"),
    ("dataset", "captions"),
    ("dataset", "images"),
    ("features", "path"),
    ("encoder", "weights"),
    ("decoder", "word_vectors"),
    ("training", "device"),
    ("training", "begin_with"),
}

_MAY_BEGIN_OTHERWISE = {
    ("encoder", "weights"),
    ("encoder", "fine_tune"),
    ("encoder", "keep"),
    ("decoder", "dropout"),
    ("decoder", "tie_embeddings"),  # Weights that do not fit are refused anyway, and None may mean either.
    ("decoder", "word_vectors"),
    ("decoder", "tune_word_vectors"),
}
