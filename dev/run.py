"""`make run`: start everything, and stop everything on Ctrl-C."""

import signal
import sys
from types import FrameType

from dev.workspace import STOP_SIGNALS


def main() -> None:
    """Run until a stop signal (exit status 0), or until something fails (status 1)."""
    for number in STOP_SIGNALS:
        signal.signal(number, _stop)
    from dev import stack  # it loads for a while, in which a Ctrl-C must end quietly too

    stack.main()


def _stop(number: int, frame: FrameType | None) -> None:
    """Leave through every `with` block; a second Ctrl-C must not break into the stopping."""
    for other in STOP_SIGNALS:
        signal.signal(other, signal.SIG_IGN)
    sys.exit(0)


if __name__ == "__main__":
    main()
