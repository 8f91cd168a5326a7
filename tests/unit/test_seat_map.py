"""The pieces of a seat map: a change replaces those that differ, and nothing else."""

import json
import random
from typing import Any

from ticket_service.services.seat_map import _SeatMap

LETTERS = {"a": "available", "l": "locked", "r": "reserved"}

SEATS = [(f"id-{n}", "A", 1, n, f"A-1-{n}", 50_000 + n, "a") for n in range(20)]


def seat_map(seats: list[tuple[str, str, int, int, str, int, str]]) -> _SeatMap:
    return _SeatMap("event", '"무대" 앞', '{"stage": 1}', seats)


def shown(pieces: _SeatMap) -> dict[str, str]:
    """The status of each seat."""
    body: dict[str, Any] = json.loads(pieces.body())
    return {seat["id"]: seat["status"] for seat in body["seats"]}


def test_a_whole_map():
    assert json.loads(seat_map([(*SEATS[3][:-1], "r")]).body()) == {
        "event": {"id": "event", "title": '"무대" 앞'},
        "layout": {"stage": 1},
        "seats": [
            {
                "id": "id-3",
                "section": "A",
                "row_number": 1,
                "seat_number": 3,
                "seat_label": "A-1-3",
                "price": 50_003,
                "status": "reserved",
            }
        ],
    }


def test_a_hall_without_seats():
    assert json.loads(seat_map([]).body())["seats"] == []
    assert seat_map([]).update(0, {})


def test_after_any_changes_it_is_as_if_it_were_made_anew():
    chance, pieces = random.Random(1), seat_map(SEATS)
    for _ in range(50):
        taken = {seat[0]: chance.choice("lr") for seat in SEATS if chance.random() < 0.5}
        assert pieces.update(len(SEATS), taken)
        anew = seat_map([(*seat[:-1], taken.get(seat[0], "a")) for seat in SEATS])
        assert pieces.body() == anew.body()
        assert shown(pieces) == {s[0]: LETTERS[taken.get(s[0], "a")] for s in SEATS}


def test_other_seats_than_before_ask_for_a_new_map():
    pieces = seat_map(SEATS)
    before = pieces.body()
    assert not pieces.update(len(SEATS) + 1, {})
    assert not pieces.update(len(SEATS), {"stranger": "l"})
    assert pieces.body() == before
