"""Flickr8k and Flickr30k: ``name#number<TAB>caption``, and the forms in which Kaggle has them.

Hodosh et al., "Framing Image Description as a Ranking Task", JAIR 2013; Young et al., "From image descriptions to
visual denotations", TACL 2014.
"""

import re
from collections.abc import Callable
from pathlib import Path

from captioner.config import DatasetConfig
from captioner.data.formats.files import broken, captions_files, common_source, images_folder, read_lines
from captioner.data.formats.reading import Gathering, Reading
from captioner.errors import DatasetError

_CAPTIONS = (
    "Flickr8k.token.txt",
    "Flickr8k_text/Flickr8k.token.txt",
    "results_20130124.token",
    "captions.txt",
    "results.csv",
    "flickr30k_images/results.csv",
)
_IMAGES = (
    "Flicker8k_Dataset",  # so spelled in the archive
    "Flickr8k_Dataset/Flicker8k_Dataset",
    "Flickr8k_Dataset",
    "Images",
    "images",
    "flickr30k-images",
    "flickr30k_images/flickr30k_images",
    "flickr30k_images",
)
_LISTS = {
    "train": "Flickr_8k.trainImages.txt",
    "val": "Flickr_8k.devImages.txt",
    "test": "Flickr_8k.testImages.txt",
}
_STRAY_SUFFIX = ".jpg.1"
"""Ending of the one name in Flickr8k's token file that no picture has: 2258277193_586949ec62.jpg.1."""

_TOKEN = re.compile(r"(?P<name>.+?)#(?P<number>\d+)(?:\t(?P<caption>.*))?")  # No tab: an empty caption's is stripped.
_COMMA = re.compile(r"(?P<name>[^,]+?)\s*,(?P<number>)(?P<caption>.*)")
_COMMAS = re.compile(r"(?P<name>[^,]+?)\s*,\s*(?P<number>\d+)\s*,(?P<caption>.*)")
# The second bar is missing in one line of the file as it is handed around (2199200615.jpg).
_BARS = re.compile(r"(?P<name>[^|]+?)\s*\|\s*(?P<number>\d+)\s*\|?(?P<caption>.*)")


def read_flickr(config: DatasetConfig) -> Reading:
    """Read the captions, and find the official lists of each split where they are."""
    gathering, files = Gathering(), captions_files(config, _CAPTIONS)
    left_out: dict[str, None] = {}
    for split, source in files:
        folder = images_folder(config, split, _IMAGES)
        rows = _rows(source)
        captioned = {name for _, name, _ in rows}
        for line, name, caption in rows:
            if name.endswith(_STRAY_SUFFIX) and not (folder / name).exists():
                stray, name = name, name.removesuffix(".1")
                if name in captioned or not (folder / name).exists():
                    left_out[stray] = None
                    continue
            gathering.add(name, folder / name, [caption], split, f"{source}:{line}")
    lists: dict[str, Path] = {}
    if not isinstance(config.captions, dict):
        paths = {split: files[0][1].parent / name for split, name in _LISTS.items()}
        lists = {split: path for split, path in paths.items() if path.is_file()}
    return Reading(common_source(files), list(gathering), lists, list(left_out))


def _rows(path: Path) -> list[tuple[int, str, str]]:
    """Line number, picture's name and caption of each row."""
    lines = read_lines(path)
    if not lines:
        raise DatasetError(f"the captions file {path} is empty", "set dataset.captions to a file with captions")
    pattern, expected, unquote = _form(lines[0][1])
    if pattern is not _TOKEN:
        lines = lines[1:]
    rows: list[tuple[int, str, str]] = []
    seen: dict[tuple[str, str], int] = {}
    for line, text in lines:
        match = pattern.fullmatch(text)
        if not match:
            raise broken(path, line, f"expected {expected}, found {text[:80]!r}")
        if match["number"]:
            first = seen.setdefault((match["name"], match["number"]), line)
            if first != line:
                problem = f"caption {match['number']} of {match['name']} is given twice (first on line {first})"
                raise broken(path, line, problem, "delete or renumber one of them, and try again")
        rows.append((line, match["name"], unquote((match["caption"] or "").strip())))
    return rows


def _form(first: str) -> tuple[re.Pattern[str], str, Callable[[str], str]]:
    """The form of a file that begins with the line ``first``: its rows, their description, what unquotes a caption."""
    if re.fullmatch(r"image(_name)?\s*,.*,.*", first):
        return _COMMAS, "'picture,number,caption'", _unquoted
    if re.fullmatch(r"image(_name)?\s*,.*", first):
        return _COMMA, "'picture,caption'", _unquoted
    if re.fullmatch(r"image(_name)?\s*\|.*", first):
        return _BARS, "'picture| number| caption'", str.strip
    return _TOKEN, "'picture#number<TAB>caption'", str.strip


def _unquoted(caption: str) -> str:
    """The caption without the quotes that a CSV writer puts around commas; a lone quote belongs to the caption."""
    if len(caption) > 1 and caption[0] == caption[-1] == '"':
        return caption[1:-1].replace('""', '"').strip()
    return caption
