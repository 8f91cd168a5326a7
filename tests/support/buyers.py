"""The tokens of buyers, and calls of many of them at the same time."""

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar
from uuid import uuid4

import jwt

from tests.support.service import JWT_SECRET

Result = TypeVar("Result")


def token_for(user_id: str | None = None, role: str = "user", **claims: Any) -> str:
    """Return a token as the Auth Service signs it, valid for an hour, by default for a new buyer.

    `claims` replace the usual ones; None leaves a claim out.
    """
    now = int(time.time())
    usual = {
        "userId": user_id or str(uuid4()),
        "email": "buyer@example.com",
        "role": role,
        "iat": now,
        "exp": now + 3600,
    }
    payload = {name: value for name, value in {**usual, **claims}.items() if value is not None}
    return jwt.encode(payload, JWT_SECRET, algorithm="HS256")


def at_once(callables: Sequence[Callable[[], Result]]) -> list[Result]:
    """Call all at the same time in threads, and return their results in the given order.

    If any of them raise an exception, the first one is raised here after all have ended.
    """
    barrier = threading.Barrier(len(callables))
    results: dict[int, Result] = {}
    errors: list[BaseException] = []

    def call(index: int) -> None:
        try:
            barrier.wait()
            results[index] = callables[index]()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=call, args=(index,)) for index in range(len(callables))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return [results[index] for index in range(len(callables))]
