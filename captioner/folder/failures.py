"""What fails for one picture's own file, and so stops no job: the others are captioned."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from captioner.errors import ImageError, StorageError


@contextmanager
def fails_alone() -> Iterator[None]:
    """Turn the ``StorageError`` of a picture's own file into its ``ImageError``, except where the disk is full."""
    try:
        yield
    except StorageError as error:
        cause = error.__cause__
        if isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT):
            raise  # The other pictures' would fail, too.
        raise ImageError(error.problem) from error
