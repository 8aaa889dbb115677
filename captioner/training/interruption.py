"""Ctrl-C while training: the step under way is finished first."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from captioner import processes


@contextmanager
def catch_interrupt() -> Iterator[threading.Event]:
    """Within, the first Ctrl-C only sets the event; a second one ends at once.

    torchrun passes on the Ctrl-C that its processes have got already, so that among several the second one is the
    first again; torchrun ends them itself after 30 seconds.
    """
    interrupted = threading.Event()
    if threading.current_thread() is not threading.main_thread():  # Only there can signals be caught.
        yield interrupted
        return
    before = signal.getsignal(signal.SIGINT)

    def note(*_: object) -> None:
        interrupted.set()
        if processes.count() == 1:
            signal.signal(signal.SIGINT, before)

    signal.signal(signal.SIGINT, note)
    try:
        yield interrupted
    finally:
        signal.signal(signal.SIGINT, before)
