"""The signals that stop a command."""

import signal
import sys
from types import FrameType

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def exit_on_stop_signals(status: int | str) -> None:
    """Let a stop signal end this process through every `with` block. Further signals are ignored,
    so that nothing stays behind.

    `status`: as for `sys.exit`.
    """

    def stop(number: int, frame: FrameType | None) -> None:
        for other in STOP_SIGNALS:
            signal.signal(other, signal.SIG_IGN)
        sys.exit(status)

    for number in STOP_SIGNALS:
        signal.signal(number, stop)
