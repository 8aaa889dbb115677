"""What is wrong with a data set, before an hour of training finds out. ``docs/lint.md`` lists all it looks for."""

from captioner.config import Config
from captioner.data.annotations import Annotations, read_annotations
from captioner.data.formats.reading import counted
from captioner.data.lint.captions import caption_findings, caption_statistics, empty_splits, read_captions
from captioner.data.lint.duplicates import duplicate_findings
from captioner.data.lint.pictures import look_at, picture_findings, picture_statistics
from captioner.data.lint.report import Finding, Report
from captioner.errors import DatasetError
from captioner.events import Listener
from captioner.vocab import Vocabulary


def lint_dataset(config: Config, listener: Listener) -> Report:
    """Read every caption and every picture of the data set once, and tell all that is wrong; never raises for it."""
    try:
        annotations = read_annotations(config.dataset)
    except DatasetError as error:
        return Report.of([Finding.of_error("broken-annotations", error)], {})
    findings = [Finding.of_error(problem.kind, problem.error, problem.names) for problem in annotations.problems]
    findings += _left_out(annotations)
    captions = read_captions(annotations.entries, listener)
    vocabulary = Vocabulary.build([list(captions.words["train"].elements())], config.vocab.min_count)
    findings += caption_findings(captions, vocabulary, config)
    if not any(finding.kind == "broken-splits" for finding in findings):
        findings += empty_splits(captions)
    statistics = caption_statistics(captions, vocabulary)
    absent = {id(entry) for entry in annotations.missing}
    entries = list({entry.file: entry for entry in annotations.entries if id(entry) not in absent}.values())
    pictures = look_at([entry.file for entry in entries], listener)
    findings += picture_findings(entries, pictures, config.dataset.allow_missing)
    findings += duplicate_findings(entries, pictures, listener)
    return Report.of(findings, statistics | picture_statistics(pictures))


def _left_out(annotations: Annotations) -> list[Finding]:
    """What training would leave out without an error."""
    findings = []
    if names := annotations.reading.left_out:
        problem = f"{counted(len(names), 'picture')} with captions in no split, left out"
        findings.append(Finding.of("left-out", "note", names, problem, "nothing to do, if that is meant"))
    refused = any(problem.kind == "missing-pictures" for problem in annotations.problems)
    if annotations.missing and not refused:
        names = [entry.name for entry in annotations.missing]
        problem = f"{counted(len(names), 'picture')} missing on the disk, left out as dataset.allow_missing says"
        findings.append(Finding.of("missing-pictures", "warning", names, problem, "put them there"))
    return findings
