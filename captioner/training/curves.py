"""The log of a run as one HTML page of curves that needs nothing else: no network, no script."""

import math
from collections.abc import Iterator, Sequence
from html import escape
from typing import Final

from captioner.evaluation.metrics import METRICS, written
from captioner.pages.charts import STYLE, Series, Svg, line_chart

Row = dict[str, float | int | str]

_CHARTS: Final = (
    ("Loss (nats per word)", {"loss": "training"}),
    ("Validation: CIDEr", {"val_CIDEr": ""}),
    ("Validation: BLEU and ROUGE-L", {f"val_{name}": written(name) for name in METRICS if name != "CIDEr"}),
    ("Validation: perplexity", {"val_perplexity": ""}),
    ("Learning rate", {"learning_rate": ""}),
    ("Speed (captions/s)", {"captions_per_second": ""}),
    ("Waiting for data (% of a step's time)", {"waiting": ""}),
)
"""Title, and for each key of the log's rows its name in the legend. Keys that are in none have a chart of their own."""
_PERCENT: Final = {"waiting"}
"""Drawn a hundred times as large as the log has it."""
_NOT_DRAWN: Final = {"epoch", "step", "tokens_per_second", "padding"}
_TABLE: Final = {
    "epoch": ("epoch", "d"),
    "loss": ("loss", ".3f"),
    "val_perplexity": ("perplexity", ".2f"),
    "val_Bleu_4": (written("Bleu_4"), ".3f"),
    "val_CIDEr": ("CIDEr", ".3f"),
    "learning_rate": ("learning rate", ".6f"),
}
"""Of the log's row of an epoch: what is shown, under which name and how."""

_PAGE_STYLE: Final = """\
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; margin: 0 auto; padding: 1rem; max-width: 80rem;
  background: light-dark(#fdfdfb, #191918); color: light-dark(#1c1c1a, #ecece6); }
h1 { font-size: 1.3rem; overflow-wrap: anywhere; margin: .5rem 0; }
main { display: grid; gap: 1.5rem; grid-template-columns: repeat(auto-fill, minmax(min(100%, 22rem), 1fr)); }
.scroll { overflow-x: auto; margin-top: 1.5rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; white-space: nowrap; }
th, td { padding: .2rem .8rem; text-align: right; border-bottom: 1px solid light-dark(#dcdcd6, #3a3a36); }
tr.best { font-weight: 600; background: light-dark(#eef4fa, #22303c); }
"""


def curves_page(name: str, rows: Sequence[Row]) -> str:
    """The page of the run called ``name`` after the epochs ``rows``."""
    best = max(rows, key=lambda row: _number(row, "val_CIDEr", -math.inf))
    last = rows[-1]
    said = (
        f"{len(rows)} {'epoch' if len(rows) == 1 else 'epochs'}; the best validation CIDEr, "
        f"{_cell(best, 'val_CIDEr')}, was in epoch {best['epoch']}; the loss is {_cell(last, 'loss')} now."
    )
    charts = "\n".join(f"<section>{chart}</section>" for chart in curves(rows, _number(best, "epoch", 0)))
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(name)}: training</title>\n<style>\n{_PAGE_STYLE}{STYLE}</style>\n</head>\n<body>\n"
        f"<h1>{escape(name)}</h1>\n<p>{said}</p>\n<main>\n{charts}\n</main>\n"
        f'<div class="scroll"><table>\n{_table(rows, best)}\n</table></div>\n</body>\n</html>\n'
    )


def curves(rows: Sequence[Row], best_epoch: float) -> Iterator[Svg]:
    """A chart for each figure of a run's log; ``best_epoch`` is marked."""
    known = {key for _, names in _CHARTS for key in names} | _NOT_DRAWN
    numeric = [key for key, value in rows[-1].items() if isinstance(value, int | float)]
    others = [(key.replace("_", " ").capitalize(), {key: ""}) for key in numeric if key not in known]
    epochs = [_number(row, "epoch", 0) for row in rows]
    for title, names in (*_CHARTS, *others):
        series = [Series(name, [_height(row, key) for row in rows]) for key, name in names.items() if key in numeric]
        if series:
            share = not _PERCENT.isdisjoint(names)
            yield line_chart(title, epochs, series, x_label="epoch", from_zero=share, mark=best_epoch)


def _table(rows: Sequence[Row], best: Row) -> str:
    shown = {key: title for key, (title, _) in _TABLE.items() if key in rows[-1]}
    lines = ["<thead><tr>" + "".join(f"<th>{title}</th>" for title in shown.values()) + "</tr></thead>"]
    for row in rows:
        cells = "".join(f"<td>{_cell(row, key)}</td>" for key in shown)
        lines.append(f'<tr class="best">{cells}</tr>' if row is best else f"<tr>{cells}</tr>")
    return "\n".join(lines)


def _number(row: Row, key: str, missing: float) -> float:
    value = row.get(key, missing)
    return missing if isinstance(value, str) else value


def _height(row: Row, key: str) -> float:
    """Of a point; of scores no more digits than say something: 1e-14, of BLEU's smoothing, is 0."""
    value = _number(row, key, math.nan)
    return round(value, 4) if key.startswith("val_") else 100 * value if key in _PERCENT else value


def _cell(row: Row, key: str) -> str:
    value = row.get(key, "")
    return escape(value) if isinstance(value, str) else format(value, _TABLE[key][1])
