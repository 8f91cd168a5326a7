"""What the tests of this folder share: an event, and one with room for two."""

import pytest

from tests.support.factories import section, ticket
from tests.support.visitors import run_queue


@pytest.fixture
def event(make_event):
    return make_event(sections=[section(seats=10)], tickets=[ticket()])


@pytest.fixture
def room(service, event):
    """The id of an event with room for two."""
    run_queue(service, event.id, threshold=2)
    return event.id
