"""What the tests of this folder share.

Browsers are on the second instance, changes are made on the first.
"""

import pytest

from tests.support.factories import section, ticket
from tests.support.visitors import run_queue


@pytest.fixture
def near(browser, other_service):
    """A browser's socket on the second instance."""
    return browser.connect(other_service.url)


@pytest.fixture
def event(make_event):
    return make_event(sections=[section(seats=20)], tickets=[ticket(total=50)])


@pytest.fixture
def room(service, make_event):
    """The id of an event with room for one."""
    event_id = make_event().id
    run_queue(service, event_id, threshold=1)
    return event_id
