"""What schemathesis is told about the service (its SCHEMATHESIS_HOOKS).

SCHEMATHESIS_IDS has ids of what there is, as JSON: by the name of a parameter or field, a list.
Of the requests of each call, two in three get these in place of their valid ids, since with ids of
nothing every answer would be 404.
"""

import json
import os
import zlib
from collections import Counter
from typing import Any

import schemathesis
from schemathesis.openapi.checks import RejectedPositiveData

from ticket_service.http.fields import UUID_PATTERN

IDS: dict[str, list[str]] = json.loads(os.environ["SCHEMATHESIS_IDS"])
"""By `event_id`, `reservation_id`, `ticket_type_id`, `seat_id`. The seats are of the first."""

MAX_OF_A_TYPE = 10


TURNS = Counter[str]()
"""How many requests there were, by call."""


def known(name: str, value: object) -> object:
    """Return an id of something there is in place of a valid one; the same for the same one."""
    if not is_id(value) or value in IDS[name]:
        return value
    return IDS[name][zlib.crc32(str(value).encode()) % len(IDS[name])]


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    """Replace the ids in the path and in the body."""
    TURNS[case.operation.label] += 1
    if TURNS[case.operation.label] % 3 == 2:
        return
    for name in case.path_parameters.keys() & IDS.keys():
        case.path_parameters[name] = known(name, case.path_parameters[name])
    if isinstance(case.body, dict):
        with_known_ids(case.body)


def with_known_ids(body: dict[str, Any]) -> None:
    if "eventId" in body:
        body["eventId"] = known("event_id", body["eventId"])
    seats = body.get("seatIds")
    if isinstance(seats, list) and seats and all(map(is_id, seats)):
        # In a row, so that different ones stay different, and the same ones the same.
        first = zlib.crc32(str(seats[0]).encode())
        row = {seat: (first + number) % len(IDS["seat_id"]) for number, seat in enumerate(seats)}
        body["seatIds"] = [IDS["seat_id"][row[seat]] for seat in seats]
        if is_id(body.get("eventId")):
            body["eventId"] = IDS["event_id"][0]
    for line in lines_of(body):
        if "ticketTypeId" in line:
            line["ticketTypeId"] = known("ticket_type_id", line["ticketTypeId"])


def is_id(value: object) -> bool:
    return isinstance(value, str) and UUID_PATTERN.fullmatch(value) is not None


def lines_of(body: object) -> list[dict[str, Any]]:
    """The lines of an order that have the shape of one."""
    lines = body.get("items") if isinstance(body, dict) else None
    return [line for line in lines if isinstance(line, dict)] if isinstance(lines, list) else []


@schemathesis.hook
def filter_failure(context: Any, failure: Any, case: Any, response: Any) -> bool:
    """Allow the refusal of lines with the same ticket type that are too much together. OpenAPI has
    no word for this; the description says it."""
    if not isinstance(failure, RejectedPositiveData):
        return True
    wanted = Counter[str]()
    for line in lines_of(case.body):
        wanted[str(line.get("ticketTypeId")).lower()] += line.get("quantity", 0)
    return not wanted or max(wanted.values()) <= MAX_OF_A_TYPE
