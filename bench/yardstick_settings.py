"""gunicorn's settings for the yardstick: those of the service, without its start."""

from gevent import monkey

monkey.patch_all()

import gc  # noqa: E402

from ticket_service.server.connections import raise_file_limit  # noqa: E402
from ticket_service.server.logs import JsonLogger  # noqa: E402
from ticket_service.server.worker import Worker  # noqa: E402

control_socket_disable = True
worker_class = "ticket_service.server.worker.Worker"
workers = 1
worker_connections = raise_file_limit()
limit_request_fields = 100
forwarder_headers = ""
secure_scheme_headers: dict[str, str] = {}
keepalive = 75
logger_class = JsonLogger


def post_worker_init(worker: Worker) -> None:
    """Set the garbage collector as the service does."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000)
