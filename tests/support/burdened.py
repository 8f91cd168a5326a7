"""The service, whose every answer takes BURDEN seconds of the processor in addition, so that little
load is more than it can answer. It notices that after fewer requests than the service itself. With
`SHEDS=no` it refuses nobody unread.

Run as `gunicorn -c gunicorn.conf.py tests.support.burdened:app`.
"""

import os
import time
from collections.abc import Iterable

from ticket_service.http.responses import Environ, StartResponse
from ticket_service.server import overload
from ticket_service.server.overload import Overload
from wsgi import app

BURDEN = 0.002

_service = app.wsgi_app


def _toil(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    if environ["PATH_INFO"].startswith("/api/"):
        end = time.thread_time() + BURDEN
        while time.thread_time() < end:
            pass
    return _service(environ, start_response)


app.wsgi_app = _toil  # type: ignore[method-assign]

overload.MIN_REQUESTS = 100

if os.environ.get("SHEDS") == "no":
    Overload.refuses = lambda self, raw_socket, head: False  # type: ignore[method-assign]
