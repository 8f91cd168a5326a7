"""Checks that apply to all answers."""

import re
import time
from collections.abc import Callable
from typing import Any, TypeVar

from tests.support.service import Response

Seen = TypeVar("Seen")

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
_INNARDS = re.compile(r"Traceback|psycopg|SELECT |site-packages|line \d")


def check_error(response: Response, status: int, code: str) -> dict[str, Any]:
    """Fail unless this is an error in the shape of all errors, and return its body."""
    body: dict[str, Any] = response.json()
    assert (response.status, body["code"]) == (status, code), body
    assert response.headers["Content-Type"] == "application/json"
    assert body.keys() - {"details"} == {"success", "error", "message", "code", "requestId"}
    assert body["success"] is False
    assert body["error"] == body["message"] != ""
    assert body["requestId"] == response.headers["X-Request-ID"]
    assert isinstance(body.get("details", {}), dict)
    assert not _INNARDS.search(str(body))
    return body


def is_korean(sentence: str) -> bool:
    """Whether the sentence contains a Korean letter."""
    return re.search("[가-힣]", sentence) is not None


def is_time(text: str) -> bool:
    """Whether this is a time in the format of the API: UTC with milliseconds."""
    return _TIME.fullmatch(text) is not None


def check_soon(read: Callable[[], Seen], expected: Seen, seconds: float = 10.0) -> None:
    """Read again and again until the result is as expected. Fail if it is not after `seconds`.

    The default is long, since machines may be busy.
    """
    deadline = time.monotonic() + seconds
    began = time.monotonic()
    while (seen := read()) != expected and began < deadline:
        time.sleep(0.01)
        began = time.monotonic()
    assert seen == expected


def each(name: str, *values: object) -> list[dict[str, object]]:
    """Return `{name: value}` for each of the values: a table of bad input."""
    return [{name: value} for value in values]
