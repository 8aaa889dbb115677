"""Checkpoints' paths -> their scores on a split, or one against the other."""

from collections.abc import Sequence
from pathlib import Path

from captioner.checkpoint.index import find_checkpoint
from captioner.checkpoint.reading import load_checkpoint, load_checkpoints
from captioner.config import SEARCHES, Config, SamplingConfig
from captioner.data.formats.reading import split_named
from captioner.data.pictures import SeveralPictures
from captioner.data.shapes.dataset import CAPTIONS_FILE
from captioner.errors import DatasetError, UsageError
from captioner.evaluation.contest import Contest
from captioner.evaluation.evaluator import Evaluation
from captioner.evaluation.references import References
from captioner.evaluation.report import Origin
from captioner.events import Listener
from captioner.experiment import Experiment
from captioner.loading import SCORING, load_captioner, refuse_unheeded, replaced
from captioner.model.ensemble import together
from captioner.training.log import read_log

_SWAPS = 200
"""Pictures of which to try whether another one in their place changes the caption."""


def evaluate_model(
    paths: Sequence[Path], split: str, overrides: Sequence[str], listener: Listener, allow_training_split: bool = False
) -> Evaluation:
    """Score a model on a split of its data set, or of another one that ``overrides`` name.

    Of several models, which caption together, the first one's settings count; each reads its own features. Raises
    ``UsageError`` for the training split unless that is allowed.
    """
    return evaluate_beams(paths, split, overrides, listener, (), allow_training_split)[0]


def evaluate_beams(
    paths: Sequence[Path],
    split: str,
    overrides: Sequence[str],
    listener: Listener,
    beam_sizes: Sequence[int],
    allow_training_split: bool = False,
) -> list[Evaluation]:
    """As ``evaluate_model``, for each of ``beam_sizes``, of which 1 means greedy; without any, as the model samples."""
    if not allow_training_split:
        _refuse_training_split(split, "choose --split val or test, or add --allow-training-split")
    checkpoints = load_checkpoints(paths)
    experiments = []
    for path, checkpoint in zip(paths, checkpoints, strict=True):
        experiment = _experiment(replaced(checkpoint.config, path, overrides, SCORING), listener)
        experiment.encoder = checkpoint.model.encoder
        experiments.append(experiment)
    first = experiments[0]
    samplings = _of_sizes(first.config.sampling, beam_sizes, overrides) or [first.config.sampling]
    refuse_unheeded(overrides, samplings)
    validation = first.validation(split)
    if len(paths) > 1:
        validation.pictures = _read_together(paths, experiments, split)
    # Of other pictures than those the model was trained on, what is called "train" tells nothing about copying.
    if checkpoints[0].provenance.get("dataset", {}).get("pictures") == first.dataset.sizes():
        known = first.training_captions.values()
        validation.training_captions = {tuple(words) for several in known for words in several}
        validation.near_twins = first.near_twins(validation.records)
    validation.calibration, validation.swaps = checkpoints[0].calibration, _SWAPS
    model = together([checkpoint.model for checkpoint in checkpoints])
    return validation.evaluate_samplings(model, checkpoints[0].vocabulary, samplings, first.compute, listener)


def origin_of(paths: Sequence[Path], overrides: Sequence[str], title: str, command: str) -> Origin:
    """What a report says of models, if any, beside their scores; the log is that of the first one's run."""
    if not paths:
        return Origin(title, command)
    run = find_checkpoint(paths[0]).parent
    return Origin(title, command, load_captioner(paths, overrides, SCORING), paths, read_log(run))


def compare_models(
    paths: tuple[Path, Path], split: str, overrides: Sequence[str], seed: int, listener: Listener
) -> Contest:
    """Let two models caption a split of the first one's data set, each with its own sampling.

    Raises ``DatasetError`` when the second one's split has other pictures or captions.
    """
    _refuse_training_split(split, "choose --split val or test")
    checkpoints = [load_checkpoint(path) for path in paths]
    configs = [replaced(each.config, path, overrides, SCORING) for each, path in zip(checkpoints, paths, strict=True)]
    refuse_unheeded(overrides, [config.sampling for config in configs])
    _check_same_data([_experiment(config, listener) for config in configs], paths, split)
    sides = []
    for checkpoint, config in zip(checkpoints, configs, strict=True):
        experiment = _experiment(config.model_copy(update={"dataset": configs[0].dataset}), listener)
        experiment.encoder = checkpoint.model.encoder
        validation = experiment.validation(split)
        sampling = config.sampling
        model, vocabulary = checkpoint.model, checkpoint.vocabulary
        sides.append(validation.evaluate(model, vocabulary, sampling, experiment.compute, listener))
    files = {record.image_id: record.file for record in validation.records}
    names = (str(paths[0]), str(paths[1]))
    return Contest.hold(names, (sides[0], sides[1]), validation.references, files, seed)


def _experiment(config: Config, listener: Listener) -> Experiment:
    """One that is scored: where the shapes are not, none are drawn, since a model may be scored from anywhere."""
    settings = config.dataset
    if settings.format == "shapes" and not (Path(settings.root) / CAPTIONS_FILE).exists():
        raise DatasetError(
            f"the data set is not in {settings.root}",
            "run the command where the model was trained, or name the folder by --set dataset.root=FOLDER",
        )
    return Experiment(config, listener)


def _of_sizes(sampling: SamplingConfig, sizes: Sequence[int], overrides: Sequence[str]) -> list[SamplingConfig]:
    """The same with other beams: of the same method, if it keeps one."""
    keeps = sampling.method in SEARCHES
    for override in overrides if sizes else ():
        key = override.partition("=")[0]
        if key == "sampling.beam_size" or (key == "sampling.method" and not keeps):
            raise UsageError(f"--beam-sizes and --set {override} do not go together", "leave out one of them")
    found = []
    for size in sizes:
        method = "greedy" if size == 1 else sampling.method if keeps else "beam"
        found.append(sampling.model_copy(update={"method": method, "beam_size": size}))
        if size % found[-1].groups:
            raise UsageError(
                f"a beam of {size} cannot be shared evenly among {found[-1].groups} groups",
                "choose other --beam-sizes, or other groups by --set sampling.beam_groups=...",
            )
    return found


def _refuse_training_split(split: str, remedy: str) -> None:
    if split_named(split) == "train":
        raise UsageError("models are trained on that split: scores on it say nothing of other pictures", remedy)


def _check_same_data(experiments: Sequence[Experiment], paths: Sequence[Path], split: str) -> None:
    first, second = experiments
    if first.config.dataset == second.config.dataset:
        return
    known: list[References] = []
    for path, experiment in zip(paths, experiments, strict=True):
        try:
            records = experiment.dataset.split(split)
        except DatasetError as error:  # Which would not say whose data it speaks of.
            raise DatasetError(f"{path}: {error.problem}", error.remedy) from None
        known.append(References("", {record.image_id: record.captions for record in records}))
    if known[0].sha256 != known[1].sha256:
        raise DatasetError(
            f"{paths[0]} and {paths[1]} belong to different data sets: {first.dataset.name} and "
            f"{second.dataset.name} have other pictures or captions in the split '{split}'",
            "let both caption the same pictures, and compare the files: captioner compare A.json B.json --references F",
        )


def _read_together(paths: Sequence[Path], experiments: Sequence[Experiment], split: str) -> SeveralPictures:
    several = [experiment.pictures(split) for experiment in experiments]
    known = [[record.image_id for record in records] for records, _ in several]
    for path, images in zip(paths, known, strict=True):
        if images != known[0]:
            raise UsageError(
                f"{paths[0]} and {path} were trained on different data sets: '{split}' has other pictures",
                "name models of the same data set, or one for all by --set dataset.root=... and dataset.format=...",
            )
    return SeveralPictures([pictures for _, pictures in several])
