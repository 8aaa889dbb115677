"""What one server takes on at most, and who may ask it."""

from dataclasses import dataclass
from urllib.parse import urlsplit

from captioner.errors import UsageError

_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class Limits:
    """Beyond any of these a request is refused with a reason, and costs next to nothing."""

    body: int = 32_000_000
    """Bytes of a request's body."""
    pictures: int = 16
    """Pictures of a request."""
    pixels: int = 40_000_000
    """Of a picture, told from its header: a larger one is not decoded."""
    seconds: float = 30.0
    """From a request's first byte to its answer."""
    per_client: int = 32
    """Requests of one address at a time."""
    waiting: int = 256
    """Pictures that wait for their turn, of all clients together."""

    @property
    def bodies(self) -> int:
        """Bytes of all requests that are in memory at a time."""
        return 16 * self.body


@dataclass(frozen=True)
class Access:
    """Who may ask; pages of other origins may not, unless they are named."""

    token: str | None = None
    """What ``Authorization: Bearer`` must bring, or nothing."""
    origins: tuple[str, ...] = ()
    """Other sites whose pages may ask, as ``origin_of`` writes them."""


def origin_of(address: str) -> str:
    """A site's address -> as browsers send it in ``Origin``: ``https://example.org``, with a port that is not usual.

    Raises ``UsageError`` for what is no site, such as ``*``.
    """
    try:
        parts = urlsplit(address)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if (
        not host
        or not parts.scheme
        or parts.path not in ("", "/")
        or parts.query
        or parts.fragment
        or "@" in parts.netloc
        or "*" in host
    ):
        raise UsageError(f"--allow-origin '{address}' is not a site", "name each site: https://example.org") from None
    shown = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{shown}" + ("" if port in (None, _PORTS.get(parts.scheme)) else f":{port}")
