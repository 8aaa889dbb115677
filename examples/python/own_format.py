"""A data format of one's own in one file: lines `beach.jpg = a beach | sand and sea`. It takes all commands.

python own_format.py lint --config my.yaml --set dataset.format=lines
"""

from pathlib import Path

from captioner import register_format
from captioner.cli.app import main
from captioner.config import DatasetConfig
from captioner.data.formats.files import broken, read_lines
from captioner.data.formats.reading import Gathering, Reading


def read_lines_format(config: DatasetConfig) -> Reading:
    """Read ``captions.lines`` in ``dataset.root``; captioner checks the pictures and draws the splits."""
    root = Path(config.root)
    source, gathering = root / "captions.lines", Gathering()
    for number, line in read_lines(source):
        name, equals, captions = (part.strip() for part in line.partition("="))
        if not equals:
            raise broken(source, number, "expected 'picture = caption | caption'")
        gathering.add(name, root / name, [text.strip() for text in captions.split("|")], None, f"{source}:{number}")
    return Reading(source, list(gathering))


register_format("lines", read_lines_format)

if __name__ == "__main__":
    main()
