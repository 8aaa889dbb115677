"""Pictures a second of lint: ``python tests/benchmarks/lint.py FOLDER`` for all pictures in a folder.

Without FOLDER, 2,000 photographs where CAPTIONER_REAL_DATA names some, else as many generated shapes. One picture in
ten counts as held out. Prints what it measured on these pictures, and of a table of COCO's size (123,287 pictures,
10,000 of them held out, random hashes) only the time to look them up.
"""

import random
import resource
import sys
import time
from pathlib import Path

import numpy as np

from captioner.data.formats.reading import Entry
from captioner.data.lint.duplicates import duplicate_findings
from captioner.data.lint.perceptual import candidates
from captioner.data.lint.pictures import look_at
from captioner.events import ignore

TABLE, HELD_OUT = 123_287, 10_000


def peak() -> str:
    """Peak memory so far."""
    return (
        f"peak {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e9 if sys.platform == 'darwin' else 1e6):.2f} GB"
    )


def main() -> None:
    """Measure, and print."""
    if len(sys.argv) > 1:
        files, what = sorted(file for file in Path(sys.argv[1]).rglob("*") if file.is_file()), sys.argv[1]
    else:
        from machine import pictures  # Imports torch, which takes more memory than lint itself.

        files, what = pictures(2000)
    random.Random(1).shuffle(files)
    begin = time.perf_counter()
    facts = look_at(files, ignore)
    seconds = time.perf_counter() - begin
    print(f"{len(files):,} pictures ({what}): {len(files) / seconds:.0f} pictures/s, {peak()}")
    entries = [
        Entry(number, file.name, file, [], "train" if number % 10 else "val") for number, file in enumerate(files)
    ]
    begin = time.perf_counter()
    found = list(duplicate_findings(entries, facts, ignore))
    print(f"copies among them: {time.perf_counter() - begin:.2f} s; {[(one.kind, one.count) for one in found]}")
    table = np.random.default_rng(1).integers(0, 1 << 64, (TABLE, 7), dtype=np.uint64)
    begin = time.perf_counter()
    candidates(table, (np.arange(TABLE) < HELD_OUT).astype(np.int64))
    print(f"looking {HELD_OUT:,} up among {TABLE:,}: {time.perf_counter() - begin:.1f} s, {peak()}")


if __name__ == "__main__":
    main()
