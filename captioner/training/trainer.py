"""The training loop: teacher forcing over batches of pictures, best checkpoint by free-running CIDEr."""

import math
import threading
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from time import perf_counter
from typing import Any

import torch

from captioner import processes
from captioner.batch import Batch
from captioner.calibration import Calibration
from captioner.checkpoint.reading import load_training_state
from captioner.checkpoint.snapshot import Snapshot
from captioner.compute import Compute
from captioner.config import Config
from captioner.data.batches import Batches
from captioner.errors import Interrupted, TrainingError
from captioner.evaluation.evaluator import Validation
from captioner.events import EpochDone, Listener, Note, Progress, Warned
from captioner.memory import out_of_memory, return_freed_memory
from captioner.model.build import CaptionModel
from captioner.training.evidence import stop_at
from captioner.training.interruption import catch_interrupt
from captioner.training.log import Row, write_log
from captioner.training.objectives import Objective
from captioner.training.optimisation import Diverged, Learned, Optimisation
from captioner.training.position import Position
from captioner.training.saving import Saving
from captioner.vocab import Vocabulary


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
        self._saving = Saving(config.training.checkpoint_minutes)
        self._interrupted = threading.Event()
        if processes.rank():  # Or every process would drop out the same.
            torch.manual_seed(config.training.seed + (processes.rank() << 32))
        self._calibration: Calibration | None = None
        """Of the weights that were validated last."""

    def resume(self) -> None:
        """Continue from ``last`` in the run's folder; its weights are already in the model."""
        state = load_training_state(self.run / "last")
        self.optimisation.load(state["optimisation"])
        self.position = Position(**state["position"])
        if processes.rank() < len(state["processes"]):  # More processes than before draw anew.
            own = state["processes"][processes.rank()]
            self.optimisation.parts, self.optimisation.proven = own["parts"], own["proven"]
            torch.set_rng_state(own["random"])
            if self.compute.device.type == "cuda" and "random_cuda" in own:
                torch.cuda.set_rng_state(own["random_cuda"])
        if self.position.rows and processes.is_first():
            write_log(self.run, self.position.rows)  # Rows of epochs that are to come again are not there yet.

    def fit(self) -> Position:
        """Train until the last epoch, or until validation CIDEr has not risen for ``training.patience`` epochs.

        Raises ``Interrupted`` after Ctrl-C, with everything saved; ``StorageError`` when the disk is full and
        ``TrainingError`` when the loss is no number, with the last good checkpoint still there.
        """
        settings, position = self.config.training, self.position
        try:
            with catch_interrupt() as self._interrupted:
                while position.epoch < settings.epochs:
                    if position.epoch - position.best_epoch >= settings.patience:
                        self.listener(Note(f"no better CIDEr for {settings.patience} epochs: stopping early"))
                        break
                    self._train_epoch()
                    self._finish_epoch()
                self._saving.wait()
            seeing = self.config.encoder.weights != "none" or self.config.encoder.fine_tune is not False
            if doubt := position.doubt(self.optimisation.steps, seeing=seeing):
                self.listener(Warned(doubt))
        except (MemoryError, RuntimeError) as error:
            if not out_of_memory(error):
                raise
            raise TrainingError(
                "memory does not suffice for this model", "set a smaller decoder.hidden_size, or choose another machine"
            ) from error
        finally:
            self._saving.close()
        return position

    def _train_epoch(self) -> None:
        position, epoch = self.position, self.position.epoch + 1
        self.model.train()
        for batch in self._timed(self.batches.epoch(epoch, skip=position.step_in_epoch)):
            start = perf_counter()
            learned = self._learn(batch)
            position.add(learned, perf_counter() - start)
            self._tell(epoch)
            interrupted, due = processes.totals(self._interrupted.is_set(), processes.is_first() and self._saving.due)
            if interrupted or due:
                self._save()
            if interrupted:
                self._saving.wait()
                processes.barrier()  # Who leaves first is taken for dead.
                raise Interrupted(
                    f"interrupted in epoch {epoch}; everything so far is saved in {self.run}",
                    "the same command with --resume goes on from here",
                )

    def _timed(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """The same, and how long they are waited for."""
        start = perf_counter()
        for batch in batches:
            self.position.waited += perf_counter() - start
            yield batch
            start = perf_counter()

    def _learn(self, batch: Batch) -> Learned:
        parts = self.optimisation.parts
        try:
            learned = self.optimisation.step(batch)
        except Diverged as diverged:
            place = (self.position.epoch + 1, self.position.step_in_epoch + 1)
            names = self.batches.pictures.name
            self._saving.wait()  # The checkpoint to go on from may still be being written.
            raise stop_at(batch, diverged, place, names, self.vocabulary, self.config, self.run) from diverged
        if self.optimisation.parts > parts:
            now = self.optimisation.parts
            self.listener(Warned(f"memory does not suffice: from now on a batch is learned from in {now} parts"))
        return learned

    def _tell(self, epoch: int) -> None:
        position, epochs = self.position, self.config.training.epochs
        learned = (
            ("reward", position.reward / position.captions)
            if self._has_reward
            else ("loss", position.loss / position.words)
        )
        values = {
            "epoch": epoch,
            "epochs": epochs,
            "step": self.optimisation.steps,
            learned[0]: learned[1],
            "captions_per_second": position.captions / position.seconds,
            "tokens_per_second": position.words / position.seconds,
            "waiting": position.waiting,
        }
        detail = (
            f"{learned[0]} {learned[1]:.3f}, {values['captions_per_second']:.0f} captions/s, "
            f"{values['tokens_per_second']:.0f} tokens/s, waiting {position.waiting:.1%}"
        )
        done, total = position.step_in_epoch, len(self.batches)
        self.listener(Progress(f"epoch {epoch}/{epochs}", done, total, "batches", detail, values))

    def _finish_epoch(self) -> None:
        position = self.position
        position.epoch += 1
        buffers = list(self.model.buffers())  # Each process has batch statistics of its own.
        for buffer, firsts in zip(buffers, processes.of_first([buffer.cpu() for buffer in buffers]), strict=True):
            buffer.copy_(firsts)
        with self.optimisation.average.applied():
            better = self._validate()
            best = self._snapshot() if better else None
        self._save(best)
        return_freed_memory()
        self.listener(EpochDone(position.rows[-1]))

    def _validate(self) -> bool:
        """Score the validation split and log the epoch; returns whether it is the best so far."""
        position, settings = self.position, self.config.training
        result = self.validation.evaluate(
            self.model, self.vocabulary, self.config.sampling, self.compute, self.listener
        )
        self._calibration = result.calibration
        if result.diversity and result.diversity.collapse:
            self.listener(Warned(f"epoch {position.epoch}: {result.diversity.collapse}"))
        row: Row = {
            "epoch": position.epoch,
            "step": self.optimisation.steps,
            "loss": position.loss / position.words,
            **({"reward": position.reward / position.captions} if self._has_reward else {}),
            "learning_rate": self.optimisation.learning_rate,
            "captions_per_second": position.captions / position.seconds,
            "tokens_per_second": position.words / position.seconds,
            "padding": 1 - position.words / position.places,
            "waiting": position.waiting,
            "val_perplexity": result.perplexity or math.nan,
            **{f"val_{name}": value for name, value in result.scores.corpus.items()},
        }
        position.rows.append(row)
        position.begin_epoch()
        better = position.take(result.scores.corpus["CIDEr"], result.perplexity or math.inf)
        if not better and settings.schedule == "plateau":
            self.optimisation.halvings += 1
        if processes.is_first():
            write_log(self.run, position.rows)
        return better

    def _save(self, best: Snapshot | None = None) -> None:
        """Write ``last``, after ``best`` where there is one, in the background; all processes take part."""
        parts, proven = self.optimisation.parts, self.optimisation.proven
        own = {"parts": parts, "proven": proven, "random": torch.get_rng_state()}
        if self.compute.device.type == "cuda":
            own["random_cuda"] = torch.cuda.get_rng_state()
        everyones = processes.gather(own)
        if not processes.is_first():
            return
        state = {"optimisation": self.optimisation.state(), "position": asdict(self.position), "processes": everyones}
        last, run = self._snapshot(state), self.run

        def write() -> None:
            if best is not None:
                best.write(run / "best")
            last.write(run / "last")

        self._saving.begin(write)

    def _snapshot(self, training: dict[str, Any] | None = None) -> Snapshot:
        validation = self.position.rows[-1] if self.position.rows else {}
        provenance = {**self.provenance, "precision": self.compute.precision, "log_row": validation}
        if not training and self._calibration is not None:
            provenance["calibration"] = self._calibration.to_json()
        return Snapshot.take(self.model, self.vocabulary, self.config, provenance, training)
