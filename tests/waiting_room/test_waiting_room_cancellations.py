"""A cancellation ends the stay inside, unless the buyer has another live hold of the event."""

from collections.abc import Callable
from functools import partial

from psycopg2.extensions import connection as Connection

from tests.support.buyers import at_once
from tests.support.factories import Event, MakeEvent, section
from tests.support.holds import hold_seats
from tests.support.others import end, pay
from tests.support.reservations import cancel
from tests.support.service import Service
from tests.support.socket_orders import hold
from tests.support.visitors import Visitor, arrive, run_queue
from tests.support.wire import check_soon

HANDS, ROUNDS = 4, 10
"""Cancellations of one buyer at once, and how often the negative control tries."""


def give_back(visitor: Visitor, reservation_id: str) -> None:
    assert cancel(visitor.service, reservation_id, visitor.token).status == 200


def test_a_cancellation_frees_the_place_at_once_and_lets_the_next_in(
    service: Service, event: Event
):
    run_queue(service, event.id, threshold=1)
    buyer, waiting = arrive(service, event.id, 2)
    give_back(buyer, hold(service, event, [0], buyer.token))
    assert buyer.stands() == ("not_in_queue", 0)
    check_soon(waiting.stands, ("active", 0))


def test_whoever_has_another_live_hold_of_the_event_stays(
    service: Service, event: Event, make_event: MakeEvent
):
    """That of another person, or of another event, is none."""
    other = make_event(sections=[section()])
    buyer, neighbour = arrive(service, event.id, 2)
    elsewhere = Visitor(service, other.id, buyer.id)
    first, second = (hold(service, event, [seat], buyer.token) for seat in (0, 1))
    hold(service, event, [2], neighbour.token)
    hold(service, other, [0], buyer.token)
    give_back(buyer, first)
    assert buyer.stands() == ("active", 0)
    give_back(buyer, second)
    assert buyer.stands() == ("not_in_queue", 0)
    assert (neighbour.stands(), elsewhere.stands()) == (("active", 0), ("active", 0))


def test_what_is_paid_or_over_is_no_live_hold(service: Service, event: Event, database: Connection):
    buyer = Visitor(service, event.id)
    [paid, over, live] = hold_seats(database, event, event.seat_ids[:3], 60, buyer.id)
    assert pay(database, paid)
    end(database, over)
    check_soon(lambda: has_run_out(buyer, over), True)
    buyer.check()
    give_back(buyer, live)
    assert buyer.stands() == ("not_in_queue", 0)


def has_run_out(visitor: Visitor, reservation_id: str) -> bool:
    answer = visitor.service.get(f"/reservations/{reservation_id}", token=visitor.token)
    expired: bool = answer.json()["reservation"]["isExpired"]
    return expired


def test_a_cancellation_takes_no_place_in_line(
    service: Service, event: Event, database: Connection
):
    run_queue(service, event.id, paused=True)
    [waiting] = arrive(service, event.id, 1)
    [held] = hold_seats(database, event, event.seat_ids[:1], 60, waiting.id)
    give_back(waiting, held)
    assert waiting.stands() == ("queued", 1)


def test_of_all_holds_cancelled_at_once_the_last_frees_the_place(
    service: Service, other_service: Service, make_event: MakeEvent, database: Connection
):
    assert not any(stays([service, other_service], make_event, database) for _ in range(3))


def test_without_the_lock_on_the_buyer_each_takes_the_other_for_live(
    start_service: Callable[..., Service], make_event: MakeEvent, database: Connection
):
    app = "tests.support.unguarded:app"
    instances = [start_service(app=app, UNGUARDED="buyer who cancels") for _ in range(2)]
    assert any(stays(instances, make_event, database) for _ in range(ROUNDS))


def stays(instances: list[Service], make_event: MakeEvent, database: Connection) -> bool:
    """Whether a buyer is still inside who cancelled all their holds at once."""
    event = make_event(sections=[section(seats=HANDS)])
    buyer = Visitor(instances[0], event.id)
    buyer.check()
    held = hold_seats(database, event, event.seat_ids, 60, buyer.id)
    answers = at_once(
        [
            partial(cancel, instances[number % 2], reservation_id, buyer.token)
            for number, reservation_id in enumerate(held)
        ]
    )
    assert {answer.status for answer in answers} == {200}
    return buyer.stands() == ("active", 0)
