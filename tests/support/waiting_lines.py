"""A fixture for modules that need their own Redis: `redis_url = own_redis_url`."""

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from dev.servers import Servers, valkey
from tests.support.degradation import subfolder


@pytest.fixture(scope="module")
def own_redis_url(servers: Servers, folder: Path) -> Iterator[str]:
    """A Redis without instances of other tests, whose settings would let people in."""
    with valkey(subfolder(folder, f"valkey-{uuid4().hex[:8]}")) as url:
        yield url
