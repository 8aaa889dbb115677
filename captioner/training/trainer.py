"""The training loop: teacher forcing over batches of pictures, best checkpoint by free-running CIDEr."""

import math
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any

import torch

from captioner.checkpoint import load_training_state, save_checkpoint
from captioner.compute import Compute
from captioner.config import Config
from captioner.data.batches import Batches
from captioner.errors import Interrupted
from captioner.evaluation.evaluator import Validation
from captioner.events import EpochDone, Listener, Note, Progress
from captioner.memory import return_freed_memory
from captioner.model.build import CaptionModel
from captioner.training.log import Row, write_log
from captioner.training.objectives import Objective
from captioner.training.optimisation import Optimisation
from captioner.vocab import Vocabulary


@dataclass
class Position:
    """How far training has come: everything but weights, optimiser and random state."""

    epoch: int = 0
    """Epochs completed."""
    step_in_epoch: int = 0
    loss: float = 0.0
    """Sums over this epoch so far: plain loss, reward, words to predict, captions, padded places, seconds."""
    reward: float = 0.0
    words: int = 0
    captions: int = 0
    places: int = 0
    seconds: float = 0.0
    best: float = -math.inf
    best_epoch: int = 0
    rows: list[Row] = field(default_factory=list)
    """The log so far."""


class Trainer:
    """Trains a model into a run's folder; at any moment it can be interrupted, and resumed to the same end."""

    def __init__(
        self,
        model: CaptionModel,
        objective: Objective,
        vocabulary: Vocabulary,
        batches: Batches,
        validation: Validation,
        config: Config,
        run: Path,
        provenance: dict[str, Any],
        compute: Compute,
        listener: Listener,
    ) -> None:
        self.model = model.to(compute.device)
        self.vocabulary = vocabulary
        self.batches = batches
        self.validation = validation
        self.config = config
        self.run = run
        self.provenance = provenance
        self.compute = compute
        self.listener = listener
        self.optimisation = Optimisation(self.model, objective, config, config.training.epochs * len(batches))
        self.position = Position()
        self._has_reward = config.training.objective == "self_critical"
        self._interrupted = threading.Event()

    def resume(self) -> None:
        """Continue from ``last`` in the run's folder; its weights are already in the model."""
        state = load_training_state(self.run / "last")
        self.optimisation.optimizer.load_state_dict(state["optimizer"])
        self.optimisation.average.load(state["average"])
        self.optimisation.steps, self.optimisation.halvings = state["steps"], state["halvings"]
        self.position = Position(**state["position"])
        torch.set_rng_state(state["random"])
        if self.compute.device.type == "cuda" and "random_cuda" in state:
            torch.cuda.set_rng_state(state["random_cuda"])

    def fit(self) -> Position:
        """Train until the last epoch, or until validation CIDEr has not risen for ``training.patience`` epochs.

        Raises ``Interrupted`` after Ctrl-C, with everything saved, and ``StorageError`` when the disk is full, with
        the last checkpoint that could be written still there.
        """
        settings, position = self.config.training, self.position
        with self._catch_interrupt():
            while position.epoch < settings.epochs:
                if position.epoch - position.best_epoch >= settings.patience:
                    self.listener(Note(f"no better CIDEr for {settings.patience} epochs: stopping early"))
                    break
                self._train_epoch()
                self._finish_epoch()
        return position

    def _train_epoch(self) -> None:
        position, epoch = self.position, self.position.epoch + 1
        self.model.train()
        batches = self.batches.epoch(epoch, skip=position.step_in_epoch)
        for batch in batches:
            start = perf_counter()
            learned = self.optimisation.step(batch.to(self.compute.device))
            position.seconds += perf_counter() - start
            position.loss += learned.loss
            position.words += learned.batch.words
            position.captions += (rows := len(learned.batch.image_of))
            position.places += rows * len(learned.batch.active)
            if learned.reward is not None:
                position.reward += learned.reward * rows
            position.step_in_epoch += 1
            self._tell(epoch)
            if self._interrupted.is_set():
                self._save("last", training=True)
                raise Interrupted(
                    f"interrupted in epoch {epoch}; everything so far is saved in {self.run}",
                    "the same command with --resume goes on from here",
                )

    def _tell(self, epoch: int) -> None:
        position = self.position
        rates = (
            f"{position.captions / position.seconds:.0f} captions/s, {position.words / position.seconds:.0f} tokens/s"
        )
        learned = f"loss {position.loss / position.words:.3f}"
        if self._has_reward:
            learned = f"reward {position.reward / position.captions:.3f}"
        task = f"epoch {epoch}/{self.config.training.epochs}"
        self.listener(Progress(task, position.step_in_epoch, len(self.batches), "batches", f"{learned}, {rates}"))

    def _finish_epoch(self) -> None:
        position = self.position
        position.epoch += 1
        with self.optimisation.average.applied():
            better = self._validate()
            if better:
                self._save("best", training=False)
        self._save("last", training=True)
        return_freed_memory()
        self.listener(EpochDone(position.rows[-1]))

    def _validate(self) -> bool:
        """Score the validation split and log the epoch; returns whether it is the best so far."""
        position, settings = self.position, self.config.training
        result = self.validation.evaluate(
            self.model, self.vocabulary, self.config.sampling, self.compute, self.listener
        )
        row: Row = {
            "epoch": position.epoch,
            "step": self.optimisation.steps,
            "loss": position.loss / position.words,
            **({"reward": position.reward / position.captions} if self._has_reward else {}),
            "learning_rate": self.optimisation.learning_rate,
            "captions_per_second": position.captions / position.seconds,
            "tokens_per_second": position.words / position.seconds,
            "padding": 1 - position.words / position.places,
            "val_perplexity": result.perplexity or math.nan,
            **{f"val_{name}": value for name, value in result.scores.corpus.items()},
        }
        position.rows.append(row)
        position.loss, position.reward, position.seconds = 0.0, 0.0, 0.0
        position.words, position.captions, position.places = 0, 0, 0
        position.step_in_epoch = 0
        if better := result.scores.corpus["CIDEr"] > position.best:
            position.best, position.best_epoch = result.scores.corpus["CIDEr"], position.epoch
        elif settings.schedule == "plateau":
            self.optimisation.halvings += 1
        write_log(self.run, position.rows)
        return better

    def _save(self, name: str, training: bool) -> None:
        state: dict[str, Any] | None = None
        if training:
            state = {
                "optimizer": self.optimisation.optimizer.state_dict(),
                "average": self.optimisation.average.values,
                "steps": self.optimisation.steps,
                "halvings": self.optimisation.halvings,
                "position": asdict(self.position),
                "random": torch.get_rng_state(),
            }
            if self.compute.device.type == "cuda":
                state["random_cuda"] = torch.cuda.get_rng_state()
        validation = self.position.rows[-1] if self.position.rows else {}
        provenance = {**self.provenance, "precision": self.compute.precision, "log_row": validation}
        save_checkpoint(self.run / name, self.model, self.vocabulary, self.config, provenance, training=state)

    @contextmanager
    def _catch_interrupt(self) -> Iterator[None]:
        """Let the step under way finish on the first Ctrl-C; a second one ends at once."""
        if threading.current_thread() is not threading.main_thread():  # Only there can signals be caught.
            yield
            return
        before = signal.getsignal(signal.SIGINT)

        def note(*_: object) -> None:
            self._interrupted.set()
            signal.signal(signal.SIGINT, before)

        signal.signal(signal.SIGINT, note)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)
