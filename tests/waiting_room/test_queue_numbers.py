"""When the length of the line is announced: whenever somebody may believe another one."""

from uuid import uuid4

import pytest

from tests.support.waiting_lines import own_redis_url
from ticket_service.stores.redis import Redis
from ticket_service.stores.waiting_lines import QueueRules, WaitingLines

redis_url = own_redis_url

RULES = QueueRules(
    threshold=1,
    ttl_seconds=60,
    no_show_seconds=60,
    max_stay_seconds=600,
    return_seconds=20,
    update_seconds=0,
)


@pytest.fixture
def lines(redis_url: str) -> WaitingLines:
    return WaitingLines(Redis(redis_url), RULES)


def test_who_was_shown_a_longer_line_hears_when_it_is_as_before(lines: WaitingLines):
    event_id, inside, first, second = (str(uuid4()) for _ in range(4))
    assert lines.enter(event_id, inside).status == "active"
    assert lines.enter(event_id, first).waiting == 1
    assert lines.admit(event_id).announce  # one waits, one is inside
    assert lines.enter(event_id, second).waiting == 2
    lines.leave(event_id, inside)
    admitted = lines.admit(event_id)
    assert (admitted.admitted, admitted.waiting, admitted.inside) == (1, 1, 1)
    assert admitted.announce


def test_numbers_that_nobody_saw_change_are_not_announced_again(lines: WaitingLines):
    event_id, inside, first = (str(uuid4()) for _ in range(3))
    lines.enter(event_id, inside)
    lines.enter(event_id, first)
    assert lines.admit(event_id).announce
    assert lines.enter(event_id, first).waiting == 1  # again
    assert not lines.admit(event_id).announce
