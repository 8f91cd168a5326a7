"""What happens to PostgreSQL."""

import time
from contextlib import closing, suppress
from random import Random

import psycopg2
from psycopg2.extensions import connection as Connection

from chaos.scene import Scene

WRITES = (b"hold_seats_", b"hold_tickets_", b"cancel_", b"record_payment_", b"expire_")
"""The statements that write, as they are in a message to PostgreSQL: `EXECUTE <title>_<hash>`."""

_ONE_OF_OURS = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE application_name = 'ticket-service' AND pid = ANY (%(pids)s)
"""
_OURS = "SELECT pid, state FROM pg_stat_activity WHERE application_name = 'ticket-service'"


def stopped(scene: Scene, dice: Random) -> None:
    """An immediate stop, and a start after a while."""
    scene.postgres.stop_at_once()
    time.sleep(dice.uniform(0, 5))
    scene.postgres.start()


def connections_ended(scene: Scene, dice: Random) -> None:
    """End connections, one after the other, those first that are at work."""
    ends_at = time.monotonic() + dice.uniform(3, 6)
    while time.monotonic() < ends_at:
        ours = scene.postgres.run(_OURS)
        busy = [pid for pid, state in ours if state == "active"] or [pid for pid, _ in ours]
        if busy:
            scene.postgres.run(_ONE_OF_OURS, pids=[dice.choice(busy)])
        time.sleep(0.02)


def slow(scene: Scene, dice: Random) -> None:
    """Every answer comes 100 ms late."""
    for way in scene.database_ways:
        way.slow_down(0.1)
    time.sleep(dice.uniform(4, 8))
    scene.restore_ways()


def answers_lost(scene: Scene, dice: Random) -> None:
    """Connections break after the commit and before the answer, for one kind of write at a time."""
    for statement in dice.sample(WRITES, len(WRITES)):
        for way in scene.database_ways:
            way.lose_answer(b"EXECUTE " + statement)
        time.sleep(1)
    scene.restore_ways()


def read_only(scene: Scene, dice: Random) -> None:
    """It takes no writes for 20 s, as a demoted server after a fail-over."""
    _set_read_only(scene, "on")
    time.sleep(20)
    _set_read_only(scene, "off")


def full(scene: Scene, dice: Random) -> None:
    """Others take all connections that come free, while ours end."""
    ends_at = time.monotonic() + dice.uniform(4, 7)
    taken: list[Connection] = []
    try:
        while time.monotonic() < ends_at:
            with suppress(psycopg2.OperationalError):
                while True:
                    taken.append(psycopg2.connect(scene.postgres.server_url))
            _end_one_by(taken[0], dice)
            time.sleep(0.05)
    finally:
        for connection in taken:
            connection.close()


def disk_full(scene: Scene, dice: Random) -> None:
    """Something else fills its disk. If that ends the server, it is started when there is room."""
    ballast = scene.postgres.folder / "ballast"
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(64 * 1024))
    time.sleep(dice.uniform(5, 8))
    ballast.unlink()
    if not scene.postgres.runs:
        scene.postgres.stop()
        scene.postgres.start()


def _end_one_by(connection: Connection, dice: Random) -> None:
    """End one connection of the service by this connection."""
    with closing(connection.cursor()) as cursor:
        cursor.execute(_OURS)
        if pids := [pid for pid, _ in cursor.fetchall()]:
            cursor.execute(_ONE_OF_OURS, {"pids": [dice.choice(pids)]})
    connection.rollback()


def _set_read_only(scene: Scene, value: str) -> None:
    scene.postgres.run(f"ALTER SYSTEM SET default_transaction_read_only = {value}")
    scene.postgres.run("SELECT pg_reload_conf()")
