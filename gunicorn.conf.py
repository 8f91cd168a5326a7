"""One gevent worker a process: scale by instances (docs/architecture.md)."""

from gevent import monkey

monkey.patch_all()

import os  # noqa: E402

from ticket_service.config import DEFAULT_PORT  # noqa: E402
from ticket_service.observability import JsonLogger  # noqa: E402

bind = f"0.0.0.0:{os.environ.get('PORT', DEFAULT_PORT)}"
control_socket_disable = True
worker_class = "ticket_service.worker.Worker"
workers = 1
worker_connections = 10_000
keepalive = 75  # longer than a load balancer keeps an idle connection
graceful_timeout = 25  # requests in flight; Kubernetes kills after 30
timeout = 30
logger_class = JsonLogger
loglevel = os.environ.get("LOG_LEVEL", "INFO").lower()
