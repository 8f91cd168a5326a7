"""The scene: instances behind a load balancer, with servers of their own behind proxies."""

from __future__ import annotations

import os
import secrets
import signal
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import psycopg2

from chaos.balancer import Balancer
from chaos.stores import Postgres, Valkey
from chaos.target import Stage, Target
from chaos.waits import wait_for
from tests.support.factories import Event, make_event, section, ticket
from tests.support.proxy import Proxy
from tests.support.service import JWT_SECRET, Service, run_service
from ticket_service.stores import schema

INSTANCES = 3
HOLD_SECONDS = 5
THRESHOLD = 20

SETTINGS = {
    "ENVIRONMENT": "production",
    "LOG_LEVEL": "INFO",
    "HOLD_TTL_SECONDS": str(HOLD_SECONDS),
    "MAX_LIVE_TICKETS_PER_BUYER": "1000",
    "HOLDS_PER_PERSON": "",
    "QUEUE_THRESHOLD": str(THRESHOLD),
    "QUEUE_TTL_SECONDS": "10",
    "QUEUE_NO_SHOW_SECONDS": "3",
    "QUEUE_MAX_STAY_SECONDS": "15",
    "QUEUE_RETURN_SECONDS": "2",
    "DRAIN_SECONDS": "1",
    "DB_SCHEMA": "public",
}
"""Everything that lasts is short, so that it ends during a run."""


class Instance:
    """An instance of the service, with ways of its own to the servers."""

    def __init__(self, folder: Path, balancer: Balancer, env: dict[str, str]) -> None:
        self._folder = folder
        self._balancer = balancer
        self._env = env
        self._running = ExitStack()
        self.service: Service
        self.start()

    def start(self, **env: str) -> None:
        """Start it, and let the balancer know; `env`: more of its environment."""
        self.service = self._running.enter_context(run_service(self._folder, **self._env, **env))
        self._balancer.add(self.service.port)

    def send_signal(self, number: signal.Signals) -> None:
        """Send it to gunicorn's master and its worker."""
        with suppress(ProcessLookupError):
            os.killpg(self.service.process.pid, number)

    def kill(self) -> None:
        """Kill it at once. Its connections break, as those of a dead machine are broken."""
        self.send_signal(signal.SIGKILL)
        self._balancer.remove(self.service.port)
        self.service.kill()
        self._running.close()

    def replace(self, **env: str) -> None:
        """As a deploy does: start a new one, wait until it is ready, and end the old one."""
        old, running = self.service, self._running
        self._running = ExitStack()
        self.start(**env)
        wait_for(lambda: self._balancer.is_ready(self.service.port))
        old.stop()
        self._balancer.remove(old.port)
        running.close()


class Scene:
    """Everything that the weather can disturb."""

    def __init__(
        self, stack: ExitStack, folder: Path, instances: int, options: dict[str, str]
    ) -> None:
        self.folder = folder
        self._options = options
        self.postgres = stack.enter_context(closing(Postgres(_made(folder / "postgresql"))))
        self.redis = stack.enter_context(closing(Valkey(_made(folder / "valkey"))))
        schema.migrate(self.postgres.url, "public")
        self.balancer = stack.enter_context(closing(Balancer()))
        self.internal_token = secrets.token_hex(32)
        self.database_ways: list[Proxy] = []
        self.redis_ways: list[Proxy] = []
        self.instances: list[Instance] = []
        for _ in range(instances):
            instance = self._start()
            stack.callback(instance.kill)
            self.instances.append(instance)
        self.target, self.canary = self._make_events()

    def pids(self) -> list[int]:
        """The processes whose speed matters: the instances, and our own, which has the proxies."""
        found = [os.getpid()]
        for instance in self.instances:
            with suppress(psutil.NoSuchProcess):
                found += [child.pid for child in instance.service.process.children()]
        return found

    def cut_redis(self) -> None:
        """Break all connections of the instances to Redis."""
        for way in self.redis_ways:
            way.cut()

    def restore_ways(self) -> None:
        """Make the network of all instances good again."""
        for way in self.database_ways + self.redis_ways:
            way.restore()

    def audit(self) -> list[dict[str, Any]]:
        """The faults that the service finds in its books."""
        headers = {"X-Internal-Token": self.internal_token}
        answer = self.instances[0].service.get("/internal/audit", headers=headers)
        faults: list[dict[str, Any]] = answer.json()["faults"]
        return faults

    def _start(self) -> Instance:
        self.database_ways.append(self.postgres.way())
        self.redis_ways.append(self.redis.way())
        env = {
            **SETTINGS,
            "JWT_SECRET": JWT_SECRET,
            "INTERNAL_API_TOKEN": self.internal_token,
            "DATABASE_URL": self.postgres.url_by(self.database_ways[-1]),
            "REDIS_URL": self.redis.url_by(self.redis_ways[-1]),
            **self._options,
        }
        return Instance(self.folder, self.balancer, env)

    def _make_events(self) -> tuple[Target, Event]:
        """Write `target.json`; what people meet, and the event of the canaries."""
        with closing(psycopg2.connect(self.postgres.url)) as connection:
            connection.autocommit = True
            hall = make_event(connection, sections=[section(rows=10, seats=20)])
            standing = make_event(connection, tickets=[ticket(total=60), ticket("VIP", total=40)])
            crowded = make_event(connection, tickets=[ticket(total=400)])
            canary = make_event(connection, sections=[section(seats=20)], tickets=[ticket()])
        secret = self.folder / "jwt_secret"
        secret.touch(mode=0o600)
        secret.write_text(JWT_SECRET)
        target = Target(
            url=self.balancer.url,
            jwt_secret_file=str(secret),
            internal_token=self.internal_token,
            database_url=self.postgres.url,
            redis_url=self.redis.url,
            hold_seconds=HOLD_SECONDS,
            threshold=THRESHOLD,
            hall=_stage(hall),
            standing=_stage(standing),
            crowded=_stage(crowded),
        )
        target.save(self.folder)
        return target, canary


@contextmanager
def scene(folder: Path, instances: int = INSTANCES, **options: str) -> Iterator[Scene]:
    """Run a scene until the block ends. Its logs and data are in the folder.

    `options`: of `run_service`, for each instance: its `app`, and more of its environment.
    """
    with ExitStack() as stack:
        made = Scene(stack, folder, instances, options)
        wait_for(lambda: all(made.balancer.is_ready(one.service.port) for one in made.instances))
        yield made


def _stage(event: Event) -> Stage:
    return Stage(event.id, event.seat_ids, event.ticket_type_ids)


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder
