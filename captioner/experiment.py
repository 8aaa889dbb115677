"""A config's parts, each made once when it is first asked for: data set, vocabulary, encoder, pictures, model."""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from typing import Any

import torch

from captioner import __version__, processes
from captioner.checkpoint.index import INDEX
from captioner.checkpoint.reading import Checkpoint, fill, load_checkpoint
from captioner.compute import Compute
from captioner.config import Config
from captioner.configfile import dump_config
from captioner.constraints import rules_of
from captioner.data.annotations import Dataset, Record, load_dataset
from captioner.data.batches import Batches
from captioner.data.features import FeatureStore, Picture
from captioner.data.formats.reading import counted, named
from captioner.data.pictures import PictureFiles, Pictures, StoredPictures
from captioner.data.shapes.dataset import CAPTIONS_FILE
from captioner.data.word_vectors import load_word_vectors
from captioner.errors import DatasetError, UsageError
from captioner.evaluation.evaluator import Validation
from captioner.evaluation.twins import twins_in_training
from captioner.events import Listener, Note, Warned
from captioner.files import remove_parts, write_text
from captioner.model.build import CaptionModel, build_decoder, build_encoder
from captioner.model.encoder import Encoder
from captioner.preprocess import fill_store, find_unreadable, open_store
from captioner.text import tokenize
from captioner.training.changes import MAY_BEGIN_OTHERWISE, changed_settings, check_same
from captioner.training.objectives import CrossEntropy, Objective, SelfCritical
from captioner.training.trainer import Trainer
from captioner.vocab import Coverage, Vocabulary, empty_vocabulary

_STANDARD = 256  # Training pictures, at most, whose features say what is common to all.


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
        settings = self.config.dataset
        if settings.format == "shapes" and not (self.root / CAPTIONS_FILE).exists():
            self.listener(Note(f"the shapes are not in {self.root}: drawing {settings.size:,} pictures there"))
        with processes.first_before_others():  # It may be generated.
            dataset = load_dataset(settings)
        for note in dataset.notes():
            self.listener(Warned(note))
        return dataset

    @cached_property
    def training_captions(self) -> dict[int | str, list[list[str]]]:
        """The words of each training picture's captions, by its id. Raises ``DatasetError`` for one without words."""
        records = self.dataset.split("train")
        # Interned, a word takes its memory once, and not each of the millions of times that it occurs.
        captions = {
            record.image_id: [list(map(sys.intern, tokenize(text))) for text in record.captions] for record in records
        }
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
        changed = changed_settings(checkpoint.config, self.config, ("encoder", "decoder"), MAY_BEGIN_OTHERWISE)
        if changed:
            raise UsageError(f"{path} cannot be begun with: {'; '.join(changed)}", "set these as they were there")
        return checkpoint

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """The words of the training captions, and of no others; or those of the model that training begins with."""
        if self.beginning is not None:
            return self.beginning.vocabulary

        def captions() -> Iterator[list[str]]:
            return chain.from_iterable(self.training_captions.values())

        vocabulary = Vocabulary.build(captions(), self.config.vocab.min_count)
        if not vocabulary.counts:
            raise DatasetError(*empty_vocabulary(self.config.vocab.min_count))
        unknown = vocabulary.coverage(captions()).unknown_rate
        words = f"{len(vocabulary):,} words, built from the training captions; {unknown:.1%} of theirs are left out"
        self.listener(Note(f"vocabulary: {words}"))
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
        with processes.first_before_others():  # Its weights may be downloaded.
            encoder = build_encoder(self.config.encoder)
        if self.beginning is not None and not self.beginning.model.encoder.has_default_weights:
            fill(encoder, self.beginning.model.encoder.state_dict(), self.beginning.folder)
        return encoder

    def pictures(self, split: str) -> tuple[list[Record], Pictures]:
        """A split's records and their pictures: as stored features, computed where missing, if the encoder is frozen.

        Pictures that cannot be read are an error, or left out where missing ones are allowed.
        """
        records = self.dataset.split(split)
        files = [record.file for record in records]
        allowed, frozen = self.config.dataset.allow_missing, self.encoder.frozen
        if frozen:
            split = records[0].split
            fill_store(self.store, self.encoder, files, self.root, self.compute, self.listener, allowed, split)
            left = [record for record in records if Picture.of(record.file, self.root) in self.store]
        else:
            unreadable = find_unreadable(files, self.encoder.transform, self.listener) if allowed else ()
            left = [record for record in records if record.file not in unreadable]
        if not left:
            raise DatasetError(
                f"none of the {counted(len(records), 'picture')} of {records[0].split} can be read",
                "mend them, or set dataset.images to the folder of others",
            )
        files = [record.file for record in left]
        if frozen:
            return left, StoredPictures(self.store, files, self.root)
        smallest_crop = self.config.encoder.smallest_crop
        part_side = self.encoder.part_side(smallest_crop)
        return left, PictureFiles(files, self.encoder.transform, self.config.features.flip, smallest_crop, part_side)

    @cached_property
    def store(self) -> FeatureStore:
        """Raises ``FeatureError`` if ``features.path`` holds features of another encoder."""
        return open_store(self.config.features, self.encoder)

    def validation(self, split: str) -> Validation:
        """A split, ready to be scored."""
        records, pictures = self.pictures(split)
        return Validation(records, pictures, f"{Path(self.dataset.name).name}, {records[0].split}")

    def near_twins(self, records: Sequence[Record]) -> int | None:
        """How many of ``records`` are nearly training pictures; ``None`` where they are training pictures themselves.

        What was seen in the pictures is kept among the features.
        """
        if any(record.split == "train" for record in records):
            return None
        memory = Path(self.config.features.path or "features") / "pictures.json"
        with processes.first_before_others():
            twins = twins_in_training(records, self.dataset.split("train"), self.root, memory, self.listener)
        if twins:
            self.listener(
                Warned(
                    f"{counted(len(twins), 'picture')} of {len(records):,} nearly equal to one that was trained on "
                    f"({named([record.file.name for record in twins])}): 'captioner lint' names the pairs"
                )
            )
        return len(twins)

    def trainer(self, run: Path, resume: bool) -> Trainer:
        """A trainer for the folder ``run``, at the beginning or, to ``resume``, where the last run stopped.

        Raises ``UsageError`` when ``run`` already holds another run, or none to resume.
        """
        last = run / "last"
        if "val" not in self.dataset.sizes():
            raise DatasetError(
                f"{self.dataset.name}: no pictures in the split 'val', by which the best epoch is chosen",
                "give it some by dataset.split_lists or, where splits are drawn, by dataset.val_fraction",
            )
        if processes.is_first():
            remove_parts(run)
        if resume := self._is_to_resume(run, resume):
            checkpoint = load_checkpoint(last)
            check_same(checkpoint.config, self.config, run)
            # Measured anew, another precision might be the faster one, and training would end elsewhere.
            self.compute = replace(self.compute, dtype=getattr(torch, checkpoint.provenance["precision"]))
            model, self.vocabulary, self.encoder = checkpoint.model, checkpoint.vocabulary, checkpoint.model.encoder
        else:
            model = self._new_model()
            if processes.is_first():
                write_text(run / "vocabulary.json", self.vocabulary.to_json())
                write_text(run / "config.yaml", dump_config(self.config))
        rules_of(self.vocabulary, self.config.sampling)  # Wrong ones are refused now, not after the first epoch.
        records, pictures = self.pictures("train")
        # A network that begins with random weights has features that soon are others.
        learned_before = self.config.encoder.weights != "none"
        if model.decoder.standardises and learned_before and not resume and self.beginning is None:
            model.standardise(pictures.read(range(0, len(records), 1 + len(records) // _STANDARD)))
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

    def _is_to_resume(self, run: Path, wanted: bool) -> bool:
        """What torchrun starts again goes on. A run that was killed before its first checkpoint begins anew."""
        begun = (run / "last" / INDEX).is_file()
        if wanted and not begun:
            if not (run / "config.yaml").is_file():
                raise UsageError(f"there is no run to resume in {run}", "leave out --resume to begin one")
            self.listener(Note(f"the run in {run} has no checkpoint yet: beginning it anew"))
        if begun and not wanted and not processes.restarts():
            raise UsageError(f"{run} already holds a run", "go on with it by --resume, or choose another --run folder")
        return begun

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
