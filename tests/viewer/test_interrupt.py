"""An interrupt stops the work at the next word of progress even where its exception was swallowed."""

from __future__ import annotations

import contextlib
import os
import signal
import threading

import pytest

from meshing.progress import Cancelled, silent
from viewer.interrupt import stoppable

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals are POSIX")


def test_swallowed_interrupt_stops_at_the_next_progress() -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(Cancelled), stoppable(silent) as progress:
        progress(0.1, "working")
        with contextlib.suppress(KeyboardInterrupt):  # as a compiler's callback does
            os.kill(os.getpid(), signal.SIGINT)
        progress(0.2, "working on")
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupt_that_is_not_swallowed_comes_through(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt), stoppable(silent):
        os.kill(os.getpid(), number)
    assert signal.getsignal(number) is before


def test_ignored_interrupts_stay_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with stoppable(silent) as progress:
            os.kill(os.getpid(), signal.SIGINT)
            progress(0.5, "working on")
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_other_threads_keep_their_progress() -> None:
    seen = []

    def work() -> None:
        with stoppable(silent) as progress:
            seen.append(progress)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [silent]
