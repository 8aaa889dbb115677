"""Scores and comparisons -> rows of text for people."""

from collections.abc import Sequence
from typing import Any

from captioner.evaluation.contest import Contest
from captioner.evaluation.evaluator import SCALE, Evaluation
from captioner.evaluation.metrics import written
from captioner.heeding import counting

Row = tuple[str, ...]

CONTEST_HEADERS = ("metric", "A", "B", "B - A", "95 % interval", "verdict")


def score_rows(evaluation: Evaluation) -> list[Row]:
    """Name and value of all that is known; a collapse is no row, but a warning."""
    found = evaluation.to_json()
    return [(written(name), _text(value)) for name, value in found.items() if value is not None and name != "collapse"]


def collapses(evaluations: Sequence[Evaluation]) -> list[str]:
    """The warnings of captions that hardly differ, each once."""
    found = [each.diversity.collapse for each in evaluations if each.diversity and each.diversity.collapse]
    return list(dict.fromkeys(found))


def tables(evaluations: Sequence[Evaluation], beams: bool) -> list[tuple[Row, list[Row]]]:
    """Headers and rows of what ``captioner evaluate`` shows: one evaluation, or several ``beams``."""
    if not beams:
        return [(("", ""), score_rows(evaluations[0]))]
    headers = ("beam", *map(written, evaluations[0].scores.corpus), "search", "pictures/s")
    return [(headers, beam_rows(evaluations)), (("", ""), setting_rows(max(evaluations, key=_beam)))]


def beam_rows(evaluations: Sequence[Evaluation]) -> list[Row]:
    """Quality against time, a row for each beam size; the time is that of the search, pictures encoded."""
    rows = []
    for evaluation in evaluations:
        scores = [f"{value:.4f}" for value in evaluation.scores.corpus.values()]
        seconds = evaluation.search_seconds or 0.0
        rate = len(evaluation.scores.per_image) / seconds if seconds else 0.0
        rows.append((str(_beam(evaluation)), *scores, f"{seconds:.2f} s", f"{rate:.0f}"))
    return rows


def _beam(evaluation: Evaluation) -> int:
    return int(evaluation.sampling["beam_size"])


def setting_rows(evaluation: Evaluation) -> list[Row]:
    """What every score of a table was computed with; without what each row of beams says itself."""
    found = evaluation.to_json()
    each = {name: value for name, value in found["sampling"].items() if name != "beam_size"}
    also = "" if each["method"] == "greedy" else ", and greedy for 1"
    found["sampling"] = _text(each).replace(each["method"], each["method"] + also, 1)
    names = ["images", "perplexity", "tokenizer", "scale", "references", "near_twins_in_training"]
    return [(name, _text(found[name])) for name in (*names, "sampling", "precision") if found[name] is not None]


def contest_rows(contest: Contest) -> list[Row]:
    """A row for each metric, with its verdict."""
    return [
        (
            written(name),
            f"{found.a:.4f}",
            f"{found.b:.4f}",
            f"{found.difference:+.4f}",
            f"{found.low:+.4f} to {found.high:+.4f}",
            found.verdict,
        )
        for name, found in contest.comparison.metrics.items()
    ]


def contest_setting_rows(contest: Contest) -> list[Row]:
    """Who won how often, and what the figures were computed with."""
    found = contest.comparison
    first, second = contest.sides
    return [
        ("A", contest.names[0]),
        ("B", contest.names[1]),
        ("CIDEr, image by image", f"B wins {found.b_wins:,}, ties {found.ties:,}, A wins {found.a_wins:,}"),
        ("images", f"{found.images:,}"),
        ("bootstrap", f"{found.resamples:,} resamples of the images, seed {found.seed}"),
        ("tokenizer", first.tokenizer),
        ("scale", SCALE),
        ("references", _text(contest.references.to_json())),
        ("sampling of A", _text(first.sampling)),
        ("sampling of B", _text(second.sampling)),
        *[
            (f"precision of {name}", side.precision)
            for name, side in zip("AB", (first, second), strict=True)
            if side.precision
        ],
    ]


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4f}"
    if not isinstance(value, dict):
        return str(value)
    if "sha256" in value:
        return f"{value['captions']:,} captions of {value['name']}, sha256 {value['sha256'][:12]}"
    return ", ".join(f"{name} {entry}" for name, entry in counting(value).items())
