"""The loops of an instance: seen from outside, and well again by themselves."""

import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families
from psycopg2.extensions import connection as Connection
from redis import Redis

from dev.servers import valkey
from tests.support.databases import balanced_database, own_database_url
from tests.support.degradation import Instance, behind_proxies, subfolder
from tests.support.factories import MakeEvent, one, ticket
from tests.support.holds import hold_tickets
from tests.support.internal import metric
from tests.support.service import Service, run_service
from tests.support.wire import check_soon, is_time
from ticket_service.stores import keys

LOOPS = {
    "bus-send",
    "bus-listen",
    "limits",
    "admission",
    "places",
    "expiry",
    "event-status",
    "paid-stays",
    "feeds",
    "presence",
    "connections",
    "sockets",
    "sessions",
}
ENDLESS = {"bus-send", "bus-listen", "limits"}


database_url = own_database_url
"""A database in which only the instance of these tests ends holds."""


database = balanced_database


@pytest.fixture(scope="module")
def shared(database_url: str, folder: Path) -> Iterator[Instance]:
    """It reaches its servers through proxies; the Valkey is its own."""
    with (
        valkey(subfolder(folder, "loops-valkey")) as redis_url,
        behind_proxies(database_url, redis_url, folder) as made,
    ):
        yield made


@pytest.fixture
def instance(shared: Instance) -> Iterator[Instance]:
    """The instance; its servers are well again after each test."""
    yield shared
    shared.postgres.restore()
    shared.redis.restore()


def loops(service: Service) -> dict[str, dict[str, Any]]:
    """The loops as the readiness probe shows them, by name."""
    details = service.request("GET", "/health/ready").json()["loops"]
    return {loop.pop("name"): loop for loop in details}


def failures(service: Service, name: str) -> int:
    counted: int = loops(service)[name]["failures"]
    assert metric(service, "ticket_loop_failures_total", loop=name) >= counted
    return counted


def test_the_probe_shows_every_loop_and_when_it_last_ran(instance: Instance):
    def unrun() -> set[str]:
        return {name for name, loop in loops(instance.service).items() if not loop["lastRun"]}

    check_soon(unrun, ENDLESS, seconds=5)
    seen = loops(instance.service)
    assert seen.keys() == LOOPS
    for name in LOOPS - ENDLESS:
        loop = seen[name]
        assert loop.keys() == {"lastRun", "seconds", "done", "failures", "lag", "late"}
        assert loop["late"] is False
        assert is_time(loop["lastRun"])
        assert 0 <= loop["seconds"] < 5
    for name in ENDLESS:
        assert (seen[name]["lag"], seen[name]["late"]) == (None, False)
    for name in ("expiry", "event-status", "admission"):
        assert 0 <= seen[name]["lag"] < 5
        ran = datetime.fromisoformat(seen[name]["lastRun"])
        assert abs((datetime.now(UTC) - ran).total_seconds()) < 5
    ran_before = seen["expiry"]["lastRun"]
    check_soon(lambda: loops(instance.service)["expiry"]["lastRun"] > ran_before, True)


def test_what_a_loop_does_is_counted(
    instance: Instance, make_event: MakeEvent, database: Connection
):
    service = instance.service
    before = loops(service)["expiry"]["done"]
    event = make_event(tickets=[ticket(total=100)])
    hold_tickets(database, event, 17, 0.2)
    check_soon(lambda: loops(service)["expiry"]["done"], before + 17)
    assert metric(service, "ticket_loop_done_total", loop="expiry") == before + 17


def test_prometheus_can_read_the_metrics(instance: Instance):
    answer = instance.service.request("GET", "/metrics")
    assert answer.status == 200
    assert re.match(r"text/plain; version=[\d.]+; charset=utf-8", answer.headers["Content-Type"])
    families = {
        family.name: family for family in text_string_to_metric_families(answer.body.decode())
    }
    assert families["ticket_loop_seconds"].type == "histogram"
    assert families["ticket_expiry_lag_seconds"].type == "histogram"
    assert families["ticket_audit_faults"].type == "gauge"
    assert families["ticket_refunds_due"].type == "counter"
    counted = {
        sample.labels["loop"]
        for sample in families["ticket_loop_seconds"].samples
        if sample.name.endswith("_count") and sample.value > 0
    }
    assert counted >= LOOPS - ENDLESS
    assert instance.service.request("POST", "/metrics").status == 405


def test_loops_without_postgres_fail_rest_longer_and_go_on(
    instance: Instance, make_event: MakeEvent, database: Connection
):
    service = instance.service
    before = {name: failures(service, name) for name in LOOPS}
    event = make_event(tickets=[ticket(total=100)])
    instance.postgres.refuse()
    hold_tickets(database, event, 10, 0.1)
    started = time.monotonic()
    time.sleep(3.5)
    tried = {name: failures(service, name) - before[name] for name in LOOPS}
    # After 0.5, 1 and 2 seconds more; without a longer rest there would be 14 by now.
    assert 2 <= tried["expiry"] <= 4
    assert tried["event-status"] <= 4
    reading = {"expiry", "event-status", "paid-stays", "feeds"}
    assert {tried[name] for name in LOOPS - reading} == {0}
    warned = [line for line in service.log_lines() if line.get("loop") == "expiry"]
    assert warned[-1]["message"] == "loop without a dependency"
    assert "exception" not in str(warned[-1]).lower()
    instance.postgres.restore()
    query = f"SELECT count(*) FROM reservations WHERE event_id = '{event.id}' AND status ="
    check_soon(lambda: one(database, f"{query} 'expired'"), 10)
    assert time.monotonic() - started < 10
    settled = failures(service, "expiry")
    time.sleep(1)
    assert failures(service, "expiry") == settled

    def rests() -> float:
        last = datetime.fromisoformat(loops(service)["expiry"]["lastRun"])
        return (datetime.now(UTC) - last).total_seconds()

    assert min(rests() for _ in range(20)) < 0.9


def test_loops_without_redis_fail_and_those_that_need_none_do_not(
    instance: Instance, make_event: MakeEvent, database: Connection
):
    service = instance.service
    before = {name: failures(service, name) for name in LOOPS}
    instance.redis.refuse()
    event = make_event(tickets=[ticket(total=100)])
    hold_tickets(database, event, 10, 0.1)
    query = f"SELECT count(*) FROM reservations WHERE event_id = '{event.id}' AND status ="
    check_soon(lambda: one(database, f"{query} 'expired'"), 10)
    check_soon(lambda: failures(service, "admission") > before["admission"], True)
    assert failures(service, "expiry") == before["expiry"]
    instance.redis.restore()
    check_soon(lambda: instance.state(), (200, "ok"), seconds=10)

    def resting() -> bool:
        counted = failures(service, "admission")
        time.sleep(0.6)
        return failures(service, "admission") == counted

    check_soon(resting, True, seconds=8)


def test_a_loop_that_meets_a_bug_is_logged_and_goes_on(
    instance: Instance, make_event: MakeEvent, database: Connection
):
    """The bug: the table is not what it was."""
    service = instance.service
    before = failures(service, "expiry")
    event = make_event(tickets=[ticket(total=100)])
    logged = len(service.log_lines())
    with database.cursor() as cursor:
        cursor.execute("ALTER TABLE reservations RENAME COLUMN expires_at TO gone")
        try:
            check_soon(lambda: failures(service, "expiry") - before >= 2, True)
        finally:
            cursor.execute("ALTER TABLE reservations RENAME COLUMN gone TO expires_at")
    hold_tickets(database, event, 5, 0.1)
    query = f"SELECT count(*) FROM reservations WHERE event_id = '{event.id}' AND status ="
    check_soon(lambda: one(database, f"{query} 'expired'"), 5, seconds=6)
    lines = [line for line in service.log_lines()[logged:] if line.get("loop") == "expiry"]
    assert lines
    assert {line["level"].upper() for line in lines} == {"ERROR"}
    assert "UndefinedColumn" in str(lines[0])


def test_the_probe_names_a_loop_that_is_late_and_sends_no_buyer_away(
    instance: Instance, database: Connection
):
    service = instance.service

    def late() -> list[str]:
        return [name for name, loop in loops(service).items() if loop["late"]]

    check_soon(instance.state, (200, "ok"), seconds=10)
    with database.cursor() as cursor:
        cursor.execute("ALTER TABLE reservations RENAME COLUMN payment_status TO gone")
        try:
            check_soon(late, ["expiry"], seconds=10)
            assert instance.state() == (200, "degraded")
            assert loops(service)["expiry"]["lag"] > 5
            assert metric(service, "ticket_loop_lag_seconds", loop="expiry") > 5
            assert metric(service, "ticket_expiry_overdue_seconds") > 5
        finally:
            cursor.execute("ALTER TABLE reservations RENAME COLUMN gone TO payment_status")
    check_soon(instance.state, (200, "ok"), seconds=10)
    assert late() == []
    assert metric(service, "ticket_loop_lag_seconds", loop="expiry") < 5


def test_an_instance_that_has_nothing_to_do_does_next_to_nothing(
    folder: Path, database_url: str, redis: Redis
):
    redis.delete(keys.WAITING_LINES)  # of other tests: paused events, and lines
    with run_service(folder, DATABASE_URL=database_url) as service:
        time.sleep(2)  # what a start leaves to be done
        master = psutil.Process(service.process.pid)
        processes = [master, *master.children(recursive=True)]
        share = min(cpu_share(processes) for _ in range(3))  # a busy machine is slow now and then
        service.kill()
    print(f"idle: {share:.2%} of a core")
    assert share < 0.02


def cpu_share(processes: list[psutil.Process]) -> float:
    """Of one core, over some seconds."""
    used, started = cpu_seconds(processes), time.monotonic()
    time.sleep(4)
    return (cpu_seconds(processes) - used) / (time.monotonic() - started)


def cpu_seconds(processes: list[psutil.Process]) -> float:
    return sum(sum(process.cpu_times()[:2]) for process in processes)
