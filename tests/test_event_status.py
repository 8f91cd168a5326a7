"""Sales that begin, end and sell out: each event has the right status at the right time."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta

from psycopg2.extensions import connection as Connection

from tests.support.browser import Client, run_client
from tests.support.buyers import token_for
from tests.support.databases import balanced_database, own_database_url, own_instances
from tests.support.factories import Event, MakeEvent, one, section, ticket
from tests.support.internal import metric
from tests.support.service import Service
from tests.support.wire import check_soon

SWEEP = 10
"""Seconds within which what another program changed is to be noticed."""


database_url = own_database_url
"""A database whose events only the instances of these tests move."""


database = balanced_database


instances = own_instances


def status(database: Connection, event: Event) -> str:
    return str(one(database, f"SELECT status FROM events WHERE id = '{event.id}'"))


def shown(instances: list[Service], event: Event) -> set[str]:
    """The status as each instance shows it."""
    answers = [instance.get(f"/events/{event.id}").json() for instance in instances]
    return {answer["event"]["status"] for answer in answers}


def listed(instances: list[Service], event: Event) -> set[str]:
    """The status as each instance shows it in the list of events, which may be a second old."""
    path = f"/events?q={event.title.split()[1]}"
    return {seen["status"] for one in instances for seen in one.get(path).json()["events"]}


@contextmanager
def watching(instances: list[Service], *events: Event) -> Iterator[list[Client]]:
    """A browser at each instance, which looks at all of these events."""
    with ExitStack() as stack:
        browsers = [stack.enter_context(run_client(instance.url)) for instance in instances]
        for browser in browsers:
            for event in events:
                browser.join("join-event", event)
        yield browsers


def told(browser: Client, event: Event) -> list[str]:
    """What a browser heard of an event's status; it heard nothing but that."""
    payloads = [
        payload for payload in browser.payloads("event-status") if payload["eventId"] == event.id
    ]
    assert all(payload.keys() == {"eventId", "status"} for payload in payloads)
    return [payload["status"] for payload in payloads]


def sale(start: float, end: float) -> tuple[timedelta, timedelta]:
    """From so many seconds from now until so many seconds from now."""
    return timedelta(seconds=start), timedelta(seconds=end)


def test_a_sale_begins_and_ends_at_its_times(
    instances: list[Service], make_event: MakeEvent, database: Connection
):
    begins, ends = SWEEP - 3.0, SWEEP - 1.2  # after the events have been noticed
    made_at = time.monotonic()
    both = make_event(status="upcoming", sale=sale(begins, ends), tickets=[ticket()])
    opening = make_event(status="upcoming", sale=sale(begins, 3600), sections=[section()])
    closing_ = make_event(status="on_sale", sale=sale(-3600, ends), tickets=[ticket()])
    full = make_event(status="sold_out", sale=sale(-3600, ends), tickets=[ticket(total=0)])
    cancelled = make_event(status="cancelled", sale=sale(begins, ends), tickets=[ticket()])
    bare = make_event(status="upcoming", sale=sale(begins, ends))

    def at(seconds: float) -> None:
        time.sleep(max(0, made_at + seconds - time.monotonic()))

    with watching(instances, both, opening, closing_, full, cancelled, bare) as browsers:
        at(begins - 0.3)
        assert shown(instances, both) == {"upcoming"}
        assert [status(database, event) for event in (both, opening, bare)] == ["upcoming"] * 3
        at(begins + 1)
        assert [status(database, event) for event in (both, opening, bare)] == ["on_sale"] * 3
        assert shown(instances, both) == {"on_sale"}
        at(ends - 0.3)
        assert [status(database, event) for event in (closing_, full)] == ["on_sale", "sold_out"]
        at(ends + 1)
        for event in (both, closing_, full, bare):
            assert status(database, event) == "ended"
            assert shown(instances, event) == {"ended"}
            assert listed(instances, event) == {"ended"}
        assert shown(instances, cancelled) == {"cancelled"}
        for browser in browsers:
            assert told(browser, both) == ["on_sale", "ended"]
            assert told(browser, opening) == ["on_sale"]
            assert told(browser, closing_) == ["ended"]
            assert told(browser, full) == ["ended"]
            assert told(browser, bare) == ["on_sale", "ended"]
            assert told(browser, cancelled) == []


def test_the_last_seat_or_ticket_makes_it_sold_out_and_the_first_return_undoes_it(
    instances: list[Service], make_event: MakeEvent, database: Connection
):
    seats = make_event(sections=[section(seats=2)])
    tickets = make_event(tickets=[ticket(total=2), ticket("VIP", total=1)])
    mixed = make_event(sections=[section(seats=1)], tickets=[ticket(total=1)])

    def status_after_a_look(event: Event) -> str:
        shown(instances, event)  # and this answer is kept
        return status(database, event)

    with watching(instances, seats, tickets, mixed) as browsers:
        for event in (seats, tickets, mixed):
            token = token_for()
            everything = orders(event)
            for path, order in everything:
                assert status(database, event) == "on_sale"
                answer = instances[0].post(path, token=token, json={"eventId": event.id, **order})
                assert answer.status == 201, answer.body
                last = answer.json()["reservation"]["id"]
            check_soon(lambda event=event: status_after_a_look(event), "sold_out", seconds=2)
            check_soon(lambda event=event: shown(instances, event), {"sold_out"}, seconds=1)
            check_soon(lambda event=event: listed(instances, event), {"sold_out"})
            back = instances[1].post(f"/reservations/{last}/cancel", token=token)
            assert back.status == 200
            check_soon(lambda event=event: status_after_a_look(event), "on_sale", seconds=2)
            check_soon(lambda event=event: shown(instances, event), {"on_sale"}, seconds=1)
            check_soon(lambda event=event: listed(instances, event), {"on_sale"})
        time.sleep(0.3)
        for browser in browsers:
            for event in (seats, tickets, mixed):
                assert told(browser, event) == ["sold_out", "on_sale"]


def test_what_returns_to_an_event_that_is_cancelled_does_not_open_it_again(
    instances: list[Service], make_event: MakeEvent, database: Connection
):
    final = "cancelled"
    event = make_event(tickets=[ticket(total=1)])
    token = token_for()
    [(path, order)] = orders(event)
    answer = instances[0].post(path, token=token, json={"eventId": event.id, **order})
    with database.cursor() as cursor:
        cursor.execute("UPDATE events SET status = %s WHERE id = %s", (final, event.id))
    held = answer.json()["reservation"]["id"]
    assert instances[0].post(f"/reservations/{held}/cancel", token=token).status == 200
    time.sleep(0.6)
    assert shown(instances, event) == {final}
    assert status(database, event) == final


def orders(event: Event) -> list[tuple[str, dict[str, object]]]:
    """What has to be bought, one after the other, until nothing is left."""
    seats: list[tuple[str, dict[str, object]]] = [
        ("/seats/reserve", {"seatIds": [seat_id]}) for seat_id in event.seat_ids
    ]
    quantities = [2, 1] if len(event.ticket_type_ids) == 2 else [1]
    lines = [
        {"ticketTypeId": id_, "quantity": quantity}
        for id_, quantity in zip(event.ticket_type_ids, quantities, strict=False)
    ]
    return seats + [("/reservations", {"items": [line]}) for line in lines]


def test_a_sold_out_event_can_be_bought_from_at_once_when_something_returns(
    instances: list[Service], make_event: MakeEvent, database: Connection
):
    """The status is for people to look at: what decides is what is left."""
    event = make_event(status="sold_out", tickets=[ticket(total=1)])
    items = [{"ticketTypeId": event.ticket_type_ids[0], "quantity": 1}]
    order = {"eventId": event.id, "items": items}
    assert instances[0].post("/reservations", token=token_for(), json=order).status == 201


def moved_sales(make_event: MakeEvent) -> list[tuple[Event, str, str]]:
    """Events with the status that is to come, and how another program moves a sale to it."""
    hour = 3600
    past, later = "- interval '1 second'", "+ interval '30 minutes'"
    changes = []
    for before, times, end, by, expected in (
        ("upcoming", sale(hour, 2 * hour), "start", past, "on_sale"),
        ("on_sale", sale(-hour, hour), "start", later, "upcoming"),
        ("on_sale", sale(-hour, hour), "end", past, "ended"),
        ("upcoming", sale(SWEEP - 2, hour), "start", later, "upcoming"),
        ("on_sale", sale(-hour, SWEEP - 2), "end", later, "on_sale"),
        ("ended", sale(-2 * hour, -hour), "end", later, "on_sale"),
        ("cancelled", sale(-2 * hour, hour), "end", past, "cancelled"),
    ):
        event = make_event(status=before, sale=times, tickets=[ticket()])
        column = f"sale_{end}_date = now() AT TIME ZONE 'UTC' {by}"
        changes.append((event, expected, f"UPDATE events SET {column} WHERE id = '{event.id}'"))
    return changes


def changed_stock(make_event: MakeEvent) -> list[tuple[Event, str, str]]:
    """Events with the status that is to come, and how another program changes what is left."""
    changes = []
    for before, given, left, expected in (
        ("on_sale", 5, 0, "sold_out"),
        ("sold_out", 0, 5, "on_sale"),
    ):
        event = make_event(status=before, tickets=[ticket(total=given)])
        columns = f"available_quantity = {left}, total_quantity = {left}"
        statement = f"UPDATE ticket_types SET {columns} WHERE event_id = '{event.id}'"
        changes.append((event, expected, statement))
    return changes


def test_what_another_program_changes_is_noticed_within_ten_seconds(
    instances: list[Service], make_event: MakeEvent, database: Connection
):
    hour = 3600
    tickets = [ticket()]
    changes = moved_sales(make_event) + changed_stock(make_event)
    left_alone = make_event(status="cancelled", sale=sale(-hour, -60), tickets=tickets)
    empty = make_event(status="on_sale", sale=sale(-hour, hour))
    with database.cursor() as cursor:
        for _, _, statement in changes:
            cursor.execute(statement)
    started = time.monotonic()
    check_soon(
        lambda: [status(database, event) for event, _, _ in changes],
        [expected for _, expected, _ in changes],
        seconds=SWEEP,
    )
    time.sleep(max(0, started + SWEEP - 1 - time.monotonic()))  # what was to be no longer
    for event, expected, _ in changes:
        assert shown(instances, event) == {expected}
    assert (status(database, left_alone), status(database, empty)) == ("cancelled", "on_sale")
    failures = [metric(i, "ticket_loop_failures_total", loop="event-status") for i in instances]
    assert failures == [0, 0]
