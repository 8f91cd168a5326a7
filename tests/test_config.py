"""An instance whose environment says something wrong."""

import re
from collections.abc import Callable

import pytest

from dev.processes import ProcessFailed
from tests.support.service import Service


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("JWT_SECRET", ""),
        ("PORT", "many"),
        ("LOG_LEVEL", "LOUD"),
        ("INTERNAL_API_TOKEN", "x" * 31),
    ],
)
def test_an_instance_with_a_bad_setting_ends_with_one_clear_line(
    start_service: Callable[..., Service], name: str, value: str
):
    with pytest.raises(ProcessFailed, match=r"ended with status [1-9]") as failed:
        start_service(ENVIRONMENT="production", **{name: value})
    assert name in str(failed.value)
    assert not re.search(r"Traceback|\bFile ", str(failed.value))
