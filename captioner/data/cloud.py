"""Pictures that are named by an address, such as ``s3://bucket/dog.jpg``, by way of pyarrow's file systems.

https://arrow.apache.org/docs/python/filesystems.html says which there are, and where each looks for a user's rights.
"""

import posixpath
from typing import Any

from captioner.errors import ImageError, UsageError


def is_cloud(name: object) -> bool:
    """Whether it is an address, and no path."""
    return isinstance(name, str) and "://" in name


def read_cloud(address: str, limit: int) -> bytes:
    """What is there. Raises ``ImageError`` where nothing is, or more than ``limit`` bytes are."""
    try:
        system, path = _open(address)
        info = system.get_file_info(path)
        if not info.is_file:
            raise ImageError("no such file")
        if info.size > limit:
            raise ImageError(f"has {info.size / 1e6:,.0f} MB; the limit is {limit / 1e6:,.0f}")
        with system.open_input_stream(path) as stream:
            data: bytes = stream.read()
            return data
    except (OSError, ValueError) as error:
        raise ImageError(f"cannot be read: {str(error).splitlines()[0]}") from None


def list_cloud(address: str, suffixes: set[str], recursive: bool) -> list[str]:
    """The files below an address, sorted; the address itself where it is no folder. Raises ``UsageError``."""
    try:
        system, path = _open(address)
        from pyarrow.fs import FileSelector, FileType

        if system.get_file_info(path).type is not FileType.Directory:
            return [address]
        found = system.get_file_info(FileSelector(path, recursive=recursive))
    except (OSError, ValueError) as error:
        raise UsageError(
            f"cannot look into {address}: {str(error).splitlines()[0]}", "check the address, and your rights there"
        ) from None
    start = address.rstrip("/")
    inside = sorted(info.path[len(path.rstrip("/")) :] for info in found if info.is_file)
    return [
        start + name
        for name in inside
        if posixpath.splitext(name)[1].lower() in suffixes and "/." not in name  # Nothing hidden.
    ]


def _open(address: str) -> tuple[Any, str]:
    try:
        from pyarrow.fs import FileSystem
    except ImportError:
        raise UsageError(
            f"{address} needs pyarrow, which is not installed", "install it: pip install 'captioner[ray]'"
        ) from None
    system, path = FileSystem.from_uri(address)
    return system, path
