"""gunicorn's settings for the yardstick: the service's own, without its database and its loops."""

import runpy

globals().update(runpy.run_path("gunicorn.conf.py"))

from ticket_service.server.worker import Worker, tune_garbage_collection  # noqa: E402


def on_starting(server: object) -> None:
    """Need no database."""


def post_worker_init(worker: Worker) -> None:
    """Start no loops."""
    tune_garbage_collection()
