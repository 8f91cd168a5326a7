"""One gevent worker a process: scale by instances (docs/architecture.md)."""

from gevent import monkey

monkey.patch_all()

import sys  # noqa: E402

import psycopg2  # noqa: E402

from ticket_service.config import ConfigError, Settings  # noqa: E402
from ticket_service.libraries import private_parts  # noqa: E402
from ticket_service.server.connections import (  # noqa: E402
    MIN_CONNECTIONS,
    RESERVED_FILES,
    raise_file_limit,
)
from ticket_service.server.logs import JsonLogger  # noqa: E402
from ticket_service.server.worker import Worker, tune_garbage_collection  # noqa: E402
from ticket_service.stores import schema  # noqa: E402

try:
    settings = Settings.from_environment()
except ConfigError as error:
    sys.exit(f"The configuration is not usable. {error}")

try:
    private_parts.check()
except private_parts.LibraryChanged as error:
    sys.exit(f"A library is not usable. {error}")

bind = [f"{settings.host}:{port}" for port in (settings.port, settings.admin_port) if port]
control_socket_disable = True
worker_class = "ticket_service.server.worker.Worker"
workers = 1
worker_connections = raise_file_limit()
if worker_connections < MIN_CONNECTIONS:
    sys.exit(
        "The limit of open files (ulimit -n) is too low: at least"
        f" {RESERVED_FILES + MIN_CONNECTIONS} are needed, 10,200 are of use."
    )
backlog = 4_096  # Linux' default limit; enough to notice that many wait (server/overload.py)
limit_request_fields = 100
# By default a proxy on the same machine, and so anybody behind a sidecar, may set these.
forwarder_headers = ""
secure_scheme_headers: dict[str, str] = {}
keepalive = 75  # longer than a load balancer keeps an idle connection
graceful_timeout = 25  # requests in flight; Kubernetes kills after 30
timeout = 30
logger_class = JsonLogger
loglevel = settings.log_level.lower()


def on_starting(server: object) -> None:
    """Bring the database up to date, once, before there is a worker that must not be kept waiting.

    Whatever is wrong ends the start with one line.
    """
    try:
        if settings.run_migrations:
            schema.migrate(settings.database_url, settings.db_schema)
        schema.check(settings.database_url, settings.db_schema)
    except (schema.SchemaIncomplete, psycopg2.Error) as error:
        sys.exit(f"The database is not usable. {str(error).strip()}")


def post_worker_init(worker: Worker) -> None:
    """Start the loops, which end when the worker is told to."""
    worker.log.info("places for connections", extra={"places": worker.worker_connections})
    background = worker.wsgi.extensions["ticket_service"].background
    worker.overload.allow(settings.frontend_urls)
    background.start()
    tune_garbage_collection()
    worker.on_drain = background.drain
    worker.on_stop = background.stop
