"""A wrong wall clock for one process: Python imports this first where PYTHONPATH has this folder.

The kernel can shift a process's monotonic clock (`unshare --time`), but not its wall clock, and
libfaketime is no Python package. So what Python code asks for the time is shifted: `time.time`,
`time.time_ns`, and `datetime` without a time of its own. The monotonic clock is as it was, as on a
machine whose clock was set wrong.
"""

import datetime
import os
import time
from datetime import datetime as _datetime
from typing import Any

OFFSET = float(os.environ["CHAOS_CLOCK_SECONDS"])

_time, _time_ns = time.time, time.time_ns


class _Kind(type):
    def __instancecheck__(cls, value: object) -> bool:
        return isinstance(value, _datetime)


class Shifted(_datetime, metaclass=_Kind):
    """Makes plain `datetime.datetime`, but of a shifted present."""

    def __new__(cls, *values: Any, **more: Any) -> Any:  # noqa: D102
        return _datetime(*values, **more)

    @classmethod
    def now(cls, tz: datetime.tzinfo | None = None) -> _datetime:  # type: ignore[override]
        """The shifted present."""
        return _datetime.fromtimestamp(time.time(), tz)

    @classmethod
    def utcnow(cls) -> _datetime:  # type: ignore[override]
        """The shifted present in UTC, without a time zone."""
        return cls.now(datetime.UTC).replace(tzinfo=None)


time.time = lambda: _time() + OFFSET
time.time_ns = lambda: _time_ns() + int(OFFSET * 1e9)
datetime.datetime = Shifted  # type: ignore[misc]
