"""HEIC pictures, as telephones take them: read by the extra ``captioner[heic]``, looked for when one comes."""

from functools import lru_cache

from captioner.errors import ImageError

_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx"}
"""What a file calls itself when its pixels are HEVC (ISO/IEC 23008-12, annex B)."""


def prepare_heic(data: bytes) -> None:
    """Teach Pillow to read ``data`` if it is HEIC, whatever its suffix. Raises ``ImageError`` where that is missing."""
    if data[4:8] != b"ftyp":
        return
    end = min(int.from_bytes(data[:4], "big"), 256)
    if _BRANDS & {data[place : place + 4] for place in range(8, end, 4)} and not _register():
        raise ImageError("is a HEIC picture, which is read after: pip install 'captioner[heic]'")


@lru_cache(maxsize=1)
def _register() -> bool:
    try:
        import pillow_heif
    except ImportError:
        return False
    pillow_heif.register_heif_opener()
    return True
