"""The service, which also logs a header of each request: the negative control of the search for
secrets in logs.

`TELLS` names the header in the WSGI environment. Run as
`gunicorn -c gunicorn.conf.py tests.support.talkative:app`.
"""

import logging
import os
from collections.abc import Iterable

from ticket_service.http.responses import Environ, StartResponse
from wsgi import app

_service = app.wsgi_app
_tells = os.environ["TELLS"]


def _talk(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    if told := environ.get(_tells):
        logging.getLogger("talkative").warning("heard", extra={"told": told})
    return _service(environ, start_response)


app.wsgi_app = _talk  # type: ignore[method-assign]
