"""Trying again: which failures of a transfer may pass, how long they are given, what is said meanwhile, and the end."""

import time
from collections.abc import Callable
from typing import Final
from urllib.parse import urlsplit

import requests
import urllib3
from requests.utils import get_environ_proxies, select_proxy

from captioner.errors import DownloadError

ATTEMPTS: Final = 6
"""In a row that bring less than ``ENOUGH`` bytes each, before a server is given up."""
ENOUGH: Final = 1 << 20
_UNRESOLVED: Final = "NameResolution"
"""Of urllib3's error, which requests' own holds."""


class Interruption(Exception):
    """An attempt ended early; another may get further, after ``wait`` seconds at least."""

    def __init__(self, reason: str, wait: float = 0.0) -> None:
        super().__init__(reason)
        self.wait = wait


def persevere(attempt: Callable[[], None], url: str, have: Callable[[], int], say: Callable[[str], None]) -> None:
    """Make attempts until one comes to its end; ``have`` tells the bytes that are here, ``say`` is told of each wait.

    Raises ``DownloadError`` when several in a row bring little, and at once where nothing has come yet from a server
    whose name nobody knows: there is no network, and waiting brings none.
    """
    begun, fruitless = have(), 0
    while True:
        before = have()
        try:
            attempt()
            return
        except (requests.RequestException, urllib3.exceptions.HTTPError, ConnectionError, TimeoutError) as broken:
            if before == begun and (host := _unknown_host(broken)):
                raise DownloadError(
                    f"{url}: the name {host} leads to no server from here",
                    "connect to the network (where a proxy leads there, set HTTPS_PROXY), and run the command again",
                ) from None
            interruption = Interruption(reason(broken))
        except Interruption as caught:
            interruption = caught
        fruitless = 0 if have() - before >= ENOUGH else fruitless + 1
        if fruitless >= ATTEMPTS:
            raise DownloadError(
                f"{url}: {interruption}; tried {ATTEMPTS} times",
                "run the same command again: it goes on where this one stopped",
            )
        wait = max(interruption.wait, float(2**fruitless))
        say(f"{interruption}; trying again in {wait:.0f} s (try {fruitless + 1} of {ATTEMPTS})")
        time.sleep(wait)


def seconds(retry_after: str | None) -> float:
    """At most two minutes, whatever a server asks; its other form, a date, is not worth the code."""
    return min(120.0, float(retry_after)) if retry_after and retry_after.isdecimal() else 0.0


def reason(error: BaseException) -> str:
    """A short cause; the libraries' own texts nest several objects."""
    if isinstance(error, requests.Timeout | TimeoutError | urllib3.exceptions.TimeoutError):
        return "the server does not answer in time"
    if isinstance(error, requests.TooManyRedirects):
        return "the server redirects without end"
    if isinstance(error, requests.exceptions.InvalidURL | requests.exceptions.InvalidSchema):
        return "not an address that can be fetched"
    if isinstance(error, requests.exceptions.SSLError):
        return "its certificate is not valid"
    if isinstance(error, requests.exceptions.ProxyError):
        return "the proxy cannot be reached, or refuses"
    if isinstance(error, requests.ConnectionError) and _UNRESOLVED in repr(error):
        return "its host is not known here; is there a network?"
    if isinstance(error, requests.ConnectionError) and "NewConnection" in repr(error):
        return "no connection"
    return "the connection broke"


def _unknown_host(error: BaseException) -> str:
    """The server's name, if it could not be resolved here; a proxy would have resolved it elsewhere."""
    if not (isinstance(error, requests.ConnectionError) and error.request and _UNRESOLVED in repr(error)):
        return ""
    asked = str(error.request.url)  # Maybe not the first: servers redirect.
    return "" if select_proxy(asked, get_environ_proxies(asked)) else str(urlsplit(asked).hostname)
