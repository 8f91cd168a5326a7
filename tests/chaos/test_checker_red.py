"""The history checker on the service itself: each check finds what is broken in a variant of it,
and none finds a fault where nothing is broken."""

import tempfile
from pathlib import Path

import pytest

from chaos.variants_run import RED, run

pytestmark = pytest.mark.long


@pytest.fixture
def folder():
    with tempfile.TemporaryDirectory(prefix="ticket-red-") as path:
        yield Path(path)


@pytest.mark.parametrize("variant", RED)
def test_a_broken_service_is_found(variant, folder):
    rule, roles = RED[variant]
    assert rule in {violation.rule for violation in run(folder, 1, variant, roles)}


def test_the_service_itself_is_not(folder):
    assert run(folder, 1) == []
