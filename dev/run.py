"""`make run`: start everything, and stop everything on Ctrl-C."""

import signal
import sys
from types import FrameType

from dev.workspace import STOP_SIGNALS


def main() -> None:
    """Run until a stop signal (exit status 0), or until something fails (status 1)."""
    for number in STOP_SIGNALS:
        signal.signal(number, _stop)
    from dev import stack  # here, since a Ctrl-C during this slow import must be handled too

    stack.main()


def _stop(number: int, frame: FrameType | None) -> None:
    """Exit through every `with` block. Further signals are ignored, so that nothing stays
    behind."""
    for other in STOP_SIGNALS:
        signal.signal(other, signal.SIG_IGN)
    sys.exit(0)


if __name__ == "__main__":
    main()
