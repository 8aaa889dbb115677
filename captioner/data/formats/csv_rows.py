"""CSV with a header: a row for each caption, its picture and, where there is one, its split."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path

from captioner.config import DatasetConfig
from captioner.data.formats.files import broken, captions_files, common_source, images_folder, read_text
from captioner.data.formats.reading import Gathering, Reading, row_split
from captioner.errors import DatasetError, nearest

_CAPTIONS = ("captions.csv", "annotations.csv", "metadata.csv")


def read_csv(config: DatasetConfig) -> Reading:
    """Read the columns that ``dataset.image_column``, ``caption_column`` and ``split_column`` name."""
    gathering, files = Gathering(), captions_files(config, _CAPTIONS)
    for split, source in files:
        folder = images_folder(config, split, ("images",))
        header, rows = _rows(source)
        image = _column(header, config.image_column, "image_column", source)
        caption = _column(header, config.caption_column, "caption_column", source)
        split_column = header.index(config.split_column) if config.split_column in header else None
        for line, row in rows:
            if len(row) != len(header):
                problem = f"{len(row)} fields where the header has {len(header)}"
                raise broken(
                    source, line, problem, 'put text that contains a separator between quotes ("), and try again'
                )
            name, text = row[image].strip(), row[caption].strip()
            if not name:
                raise broken(source, line, "the picture is empty")
            given = row[split_column] if split_column is not None else ""
            where = f"{source}:{line}"
            gathering.add(name, folder / name, [text], split or row_split(given, where), where)
    return Reading(common_source(files), list(gathering))


def _rows(path: Path) -> tuple[list[str], Iterator[tuple[int, list[str]]]]:
    """The header, and the rows that are not blank, each with the line on which it ends."""
    text = read_text(path)
    separator = max(",;\t", key=text.partition("\n")[0].count)  # Spreadsheets of many countries write semicolons.
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)

    def rows() -> Iterator[tuple[int, list[str]]]:
        try:
            for row in reader:
                if row:
                    yield reader.line_num, row
        except csv.Error as error:
            raise broken(path, reader.line_num, f"not valid CSV: {error}") from None

    iterator = rows()
    header = next(iterator, (0, []))[1]
    return [name.strip() for name in header], iterator


def _column(header: list[str], name: str, key: str, path: Path) -> int:
    if name not in header:
        raise DatasetError(
            f"{path}:1: no column '{name}'{nearest(name, header)}",
            f"set dataset.{key} to one of its columns: {', '.join(header) or '(none)'}",
        )
    return header.index(name)
