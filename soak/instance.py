"""The service, and how many greenlets it has. Only the soak runs this:
`gunicorn -c gunicorn.conf.py soak.instance:app`."""

from __future__ import annotations

import gc
from collections.abc import Iterable

from greenlet import greenlet

from soak import GREENLETS
from ticket_service.http.responses import Answer, Environ, StartResponse
from wsgi import app

_service = app.wsgi_app


def _answer(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    if environ["PATH_INFO"] != GREENLETS:
        return _service(environ, start_response)
    # Without those of the start, which gunicorn.conf.py has frozen: they stay anyway.
    count = sum(isinstance(found, greenlet) for found in gc.get_objects())
    body = str(count).encode()
    return Answer(200, [("Content-Length", str(len(body)))], body)(environ, start_response)


app.wsgi_app = _answer  # type: ignore[method-assign]
