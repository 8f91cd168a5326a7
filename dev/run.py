"""`make run`: start everything, and stop everything on Ctrl-C."""

from dev.signals import exit_on_stop_signals


def main() -> None:
    """Run until a stop signal (exit status 0), or until something fails (status 1)."""
    exit_on_stop_signals(0)
    from dev import stack  # here, since a Ctrl-C during this slow import must be handled too

    stack.main()


if __name__ == "__main__":
    main()
