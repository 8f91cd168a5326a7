"""What PostgreSQL alone does with the very script that holds seats: pgbench sends it."""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from bench import data
from bench.costs import cpu_seconds_with_ended, postgres_process
from bench.rig import Stores
from bench.wire import LoadFailed
from dev.servers import postgres_binaries
from ticket_service.services.seat_holds import HOLD_SEATS

CLIENTS = 8
"""Connections, as many as an instance has for sales."""

# pgbench has numbers only, so all ids are a prefix and a number of 12 digits.
_PREFIX = "00000000-0000-4000-8000-"
_SEATS_FROM, _EVENTS_FROM, _PEOPLE_FROM = 100_000_000_000, 200_000_000_000, 300_000_000_000

_DATA_SQL = f"""
    WITH made AS (
        INSERT INTO events (id, title, event_date, sale_start_date, sale_end_date, status)
        SELECT ('{_PREFIX}' || {_EVENTS_FROM} + n)::uuid, 'For pgbench', event_date,
               sale_start_date, sale_end_date, status
        FROM (SELECT * FROM events WHERE status = 'on_sale' ORDER BY id LIMIT 1) e,
            generate_series(0, %(clients)s - 1) AS n
        RETURNING id, right(id::text, 12)::bigint - {_EVENTS_FROM} AS client
    )
    INSERT INTO seats (id, event_id, section, row_number, seat_number, seat_label, price)
    SELECT ('{_PREFIX}' || {_SEATS_FROM} + client * %(each)s + n)::uuid, id, 'A', n, 1, 'A-' || n,
           1000
    FROM made, generate_series(0, %(each)s - 1) AS n
"""

_PARAMETERS = {
    "buyer_id": f"'{_PREFIX}:person'",
    "reservation_id": f"'{_PREFIX}:person'",
    "event_id": f"'{_PREFIX}:event'",
    "seat_ids": f"ARRAY['{_PREFIX}:seat']",
    "reservation_number": "'PGBENCH-:person'",
    "hold_ttl": "300",
    "limit": "10",
    "max_amount": "2147483647",
}


@dataclass(frozen=True)
class Alone:
    """One run of pgbench."""

    rate: float
    """Holds a second."""
    cpu_us: float
    """Microseconds of processor time that PostgreSQL used for each."""


def measure(stores: Stores, folder: Path, each: int) -> Alone:
    """Hold seats as fast as PostgreSQL can, on the cores of this process.

    `stores`: started here, with the demonstration data. `each`: how many seats a client holds.
    Raises LoadFailed, psycopg2.Error.
    """
    wanted = CLIENTS * each
    with data.autocommit(stores.database_url) as cursor:
        cursor.execute(_DATA_SQL, {"clients": CLIENTS, "each": each})
        cursor.execute("VACUUM ANALYZE")
        server = postgres_process(stores)
        script = folder / "hold_seats.pgbench"
        script.write_text(_script(each))
        used = cpu_seconds_with_ended(server)
        rate = _run(stores.database_url, script, each)
        used = cpu_seconds_with_ended(server) - used
        cursor.execute("SELECT count(*) FROM reservations WHERE reservation_number LIKE 'PGBENCH%'")
        [(held,)] = cursor.fetchall()
    if held != wanted:
        raise LoadFailed(f"pgbench held {held} of {wanted} seats")
    return Alone(rate, used / wanted * 1e6)


def _script(each: int) -> str:
    """What each client does again and again: prepare once, then the script in one message."""
    prepare = "\n".join(f"{statement};" for statement in HOLD_SEATS.preparations.values())
    call = (HOLD_SEATS.call % _PARAMETERS).replace("; ", "\\; ")
    return f"""
\\if :n = 0
{prepare}
\\endif
\\set seat {_SEATS_FROM} + :client_id * {each} + :n
\\set person {_PEOPLE_FROM} + :client_id * {each} + :n
\\set event {_EVENTS_FROM} + :client_id
\\set n :n + 1
{call};
"""


def _run(database_url: str, script: Path, each: int) -> float:
    command: list[str | Path] = [postgres_binaries() / "pgbench", "-n", "-f", script, "-D", "n=0"]
    command += ["-c", str(CLIENTS), "-t", str(each), database_url]
    env = {**os.environ, "PGOPTIONS": "-c plan_cache_mode=force_generic_plan"}
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    found = re.search(r"tps = ([\d.]+)", done.stdout)
    if done.returncode or not found:
        raise LoadFailed(f"pgbench: {done.stderr}")
    return float(found[1])
