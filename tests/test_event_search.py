"""The search of events by its index: it finds what a scan of all events would find."""

import random
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from psycopg2.extensions import connection as Connection
from psycopg2.extras import execute_values

from dev.servers import Servers
from tests.support.databases import balanced_database, connected, migrated_database
from tests.support.events import get, listed, word
from tests.support.factories import MakeEvent
from tests.support.schemas import run
from tests.support.service import Service, run_service
from tests.support.wire import check_soon
from ticket_service.services import catalogue

PIECES = [
    *["가수", "수가", "가", "아이유", "아이", "IU", "iU", "콘서트", "서트", "Concert", "concert"],
    *["Live", "LIVE TOUR", "la la land", "100%", "%", "_", "a_b", "\\", "a\\b", "\\%", "'", '"'],
    *[
        "🎤",
        "🎤🎵",
        "É",
        "é",
        "ẞ",
        "ß",
        "İ",
        "I",
        "i",
        "\u0131",
        "Σ",
        "ς",
        "\u03c3",
        "가",
        "\n",
        "\t",
        ",",
    ],
    *["한여름 밤의 꿈", "밤", "{", "}", "NULL", "ABAB", "aba", "빈말"],
]
"""What the texts and the queries of the comparison are made of."""

LETTERS = "나다라마바사자차카타파하거너더러머버서저처커터퍼허BCDFGHbcdfgh0123456789"

TWINS = [
    *[
        ("아이유", "IU"),
        ("콘서트", "concert"),
        ("콘서트", "gig"),
        ("가수", "Singer_%"),
        ("밤", "Live"),
    ],
    *[("빈말", ""), ("ab", "a\\b")],
]

STATUSES = [None, "on_sale", "ended"]

Texts = tuple[str | None, ...]


@pytest.fixture(scope="module")
def database_url(servers: Servers) -> Iterator[str]:
    """A database that only this module uses, with some hundred events."""
    with migrated_database(servers.database_url) as url:
        with connected(url) as connection:
            insert_events(connection)
        yield url


database = balanced_database


@pytest.fixture(scope="module")
def service(database_url: str, folder: Path) -> Iterator[Service]:
    with run_service(folder, DATABASE_URL=database_url) as started:
        yield started


def insert_events(connection: Connection) -> None:
    chance = random.Random(1)
    start = datetime(2026, 5, 1)
    rows = [
        (*texts(chance), chance.choice(STATUSES[1:]), start + timedelta(hours=chance.randrange(99)))
        for _ in range(500)
    ]
    rows.append((None, None, None, None, "ended", start))
    with connection.cursor() as cursor:
        # As where another program made the table.
        cursor.execute("ALTER TABLE events ALTER title DROP NOT NULL")
        execute_values(
            cursor,
            "INSERT INTO events (title, artist_name, venue, address, status, sale_start_date,"
            " sale_end_date, event_date) VALUES %s",
            [(*row, row[-1], row[-1]) for row in rows],
        )
        execute_values(cursor, "INSERT INTO keyword_mappings (korean, english) VALUES %s", TWINS)


def texts(chance: random.Random) -> Texts:
    """The texts of an event: some are empty, or missing."""
    return tuple(None if chance.random() < 0.1 else text(chance) for _ in range(4))


def text(chance: random.Random) -> str:
    """Some pieces, with letters around them that make most parts of the text rare."""
    separator = chance.choice(["", " ", "  "])
    rare = ["".join(chance.choices(LETTERS, k=chance.randrange(5))) for _ in range(4)]
    return separator.join(chance.sample(rare + chance.choices(PIECES, k=2), chance.randrange(6)))


def queries(found: list[Texts], count: int) -> list[str]:
    """Pieces, parts of texts, parts of two texts of an event, and what no event has."""
    chance = random.Random(2)
    made = [*PIECES, *(english for _, english in TWINS), "뷁쀍", "zzz", "{}", "가 수", "%%"]
    while len(made) < count:
        event = [part or "" for part in chance.choice(found)]
        whole = chance.choice([*event, *event, "".join(event), text(chance)])
        at = chance.randrange(len(whole) + 1)
        part = whole[at : at + chance.choice([1, 2, 2, 3, 4, 8, 30])]
        made.append(chance.choice([part, part.upper(), part.lower(), part.swapcase()]))
    return list(dict.fromkeys(query.strip() for query in made))


# The reference


def terms(database: Connection, query: str) -> set[str]:
    """What a query stands for: itself, up to three words replaced, and twins of longer words."""
    query = lower(database, query)
    pairs = [(lower(database, korean), lower(database, english)) for korean, english in TWINS]
    pairs += [(twin, word) for word, twin in pairs]
    found = newest = {query}
    for _ in range(3):
        newest = {
            term.replace(word, twin)
            for term in newest
            for word, twin in pairs
            if word in term and word not in twin
        }
        found = found | newest
    return found | {twin for word, twin in pairs if len(query) > 1 and query in word}


def lower(database: Connection, text: str) -> str:
    with database.cursor() as cursor:
        cursor.execute("SELECT lower(%s)", [text])
        [(lowered,)] = cursor.fetchall()
    return str(lowered)


def scanned(database: Connection, query: str, status: str | None) -> list[str]:
    """The ids of all events that match, found without an index."""
    patterns = [
        "%" + term.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"
        for term in terms(database, query)
    ]
    with database.cursor() as cursor:
        cursor.execute(
            """
            SELECT id::text FROM events
            WHERE (%(status)s::text IS NULL OR status = %(status)s)
              AND (title ILIKE ANY (%(any)s) OR artist_name ILIKE ANY (%(any)s)
                   OR venue ILIKE ANY (%(any)s) OR address ILIKE ANY (%(any)s))
            ORDER BY sale_start_date, id
            """,
            {"any": patterns, "status": status},
        )
        return [event_id for (event_id,) in cursor.fetchall()]


def test_a_search_finds_what_a_scan_finds(service: Service, database: Connection):
    chance = random.Random(3)
    found = run(database, "SELECT title, artist_name, venue, address FROM events")
    hits = []
    for query in queries(found, 900):
        status, page = chance.choice(STATUSES), chance.choice([1, 1, 2])
        expected = scanned(database, query, status) if query else every(database, status)
        answer = get(service, "/events", q=query, status=status or "", page=page, limit=100)
        ids = [event["id"] for event in answer["events"]]
        assert ids == expected[100 * (page - 1) : 100 * page], (query, status, page)
        assert answer["pagination"]["total"] == len(expected), (query, status)
        hits.append(len(expected))
    assert hits.count(0) > 80
    assert sum(1 <= hit < 10 for hit in hits) > 80
    assert max(hits) > 100


def every(database: Connection, status: str | None) -> list[str]:
    only = f"WHERE status = '{status}'" if status else ""
    return [
        event_id
        for (event_id,) in run(
            database, f"SELECT id::text FROM events {only} ORDER BY sale_start_date, id"
        )
    ]


@pytest.mark.parametrize("column", ["title", "artist_name", "venue", "address"])
def test_a_change_by_another_program_is_found(
    service: Service, make_event: MakeEvent, database: Connection, column: str
):
    before, after = word(), word()
    event = make_event(**{column: before})
    assert listed(service, q=before) == [event.id]
    with database.cursor() as cursor:
        cursor.execute(f"UPDATE events SET {column} = %s WHERE id = %s", [after, event.id])
    check_soon(lambda: listed(service, q=after), [event.id])
    check_soon(lambda: listed(service, q=before) == [], True)


MANY = """
    INSERT INTO events
        (title, venue, address, description, event_date, sale_start_date, sale_end_date)
    SELECT '공연 ' || n, '홀 ' || n % 100, '서울 ' || n, repeat('설명 ', 100), day, day, day
    FROM generate_series(1, 3000) AS n, LATERAL (SELECT timestamp '2026-05-01' + n * interval '1h')
        AS sale (day)
"""


@pytest.fixture
def crowded(servers: Servers) -> Iterator[Connection]:
    """A database with some thousand events, and a connection with the settings of the service."""
    with migrated_database(servers.database_url) as url, connected(url) as connection:
        run(connection, f"{MANY}; SET plan_cache_mode = force_generic_plan")
        yield connection


@pytest.mark.parametrize("upkeep", ["", "ANALYZE", "VACUUM ANALYZE"])
def test_no_search_scans_all_events(crowded: Connection, upkeep: str):
    if upkeep:
        run(crowded, upkeep)
    lines = plan(crowded, q="혁오", status=None, page=1, limit=10)
    assert any("Bitmap Index Scan on ticket_service_events_grams_idx" in line for line in lines)
    assert not any("Seq Scan on events" in line for line in lines)


def plan(connection: Connection, **parameters: Any) -> list[str]:
    """The plan of the statement that the service prepares: the same for all parameters."""
    script = catalogue._EVENT_SEARCH
    for preparation in script.preparations.values():
        run(connection, preparation)
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN {script.call}", parameters)
        return [line for (line,) in cursor.fetchall()]
