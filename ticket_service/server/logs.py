"""JSON logs on stdout: one object a line, and one line for each request."""

from __future__ import annotations

import logging.config
import sys
from collections.abc import MutableMapping
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
from gunicorn.config import Config
from gunicorn.glogging import Logger

from ticket_service.http.responses import REQUEST_ID, ROUTE, USER_ID, current_environ


class JsonLogger(Logger):
    """gunicorn's logger. Its own lines are logged like all others; the access log is ours."""

    def setup(self, cfg: Config) -> None:
        """Configure logging for the whole process."""
        logging.config.dictConfig(_configuration(cfg.loglevel.upper()))

    def access(
        self, resp: Any, req: Any, environ: MutableMapping[str, Any], request_time: timedelta
    ) -> None:
        """Write the line of one request, after its last byte was sent.

        Not through `logging`, which takes longer than many answers. The line never has a token or
        a body.
        """
        line = {
            "time": datetime.now(UTC),
            "level": "INFO",
            "logger": "ticket_service.access",
            "message": "request",
            "method": environ["REQUEST_METHOD"],
            "route": environ.get(ROUTE),
            "status": int(str(resp.status)[:3]),
            "duration_ms": round(request_time.total_seconds() * 1000, 2),
            "user_id": environ.get(USER_ID),
            "request_id": environ.get(REQUEST_ID),
        }
        sys.stdout.buffer.write(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))
        sys.stdout.buffer.flush()


class _RequestIdFilter(logging.Filter):
    """Adds the id of the current request to each line that has none."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Set `record.request_id`. Returns True: every line is logged."""
        if not hasattr(record, "request_id"):
            record.request_id = current_environ.get({}).get(REQUEST_ID)
        return True


def _configuration(level: str) -> dict[str, Any]:
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "json": {
                "()": "pythonjsonlogger.orjson.OrjsonFormatter",
                "fmt": "%(levelname)s %(name)s %(message)s %(request_id)s",
                "rename_fields": {"levelname": "level", "name": "logger"},
                "timestamp": "time",
            }
        },
        "filters": {"request_id": {"()": _RequestIdFilter}},
        "handlers": {
            "stdout": {
                "class": "logging.StreamHandler",
                "stream": "ext://sys.stdout",
                "formatter": "json",
                "filters": ["request_id"],
            }
        },
        "root": {"level": level, "handlers": ["stdout"]},
        "loggers": {
            # With all details, it logs paths, and a path may have a token in it.
            "gunicorn.error": {"propagate": True, "level": "INFO" if level == "DEBUG" else level},
            "socketio": {"level": "ERROR"},  # below, it logs whole messages, with tokens
        },
    }
