"""The service with answers that its description does not allow, one for each check.

Run as `gunicorn -c gunicorn.conf.py tests.support.undescribed:app`. It shows that schemathesis sees
such answers (tests/test_schemathesis.py).
"""

import os

from tests.support.tokens import claims, signed
from ticket_service.app import create_app
from ticket_service.config import Settings

JSON = [("X-Request-ID", "x"), ("Content-Type", "application/json")]
TEXT = [("X-Request-ID", "x"), ("Content-Type", "text/plain")]

ONLY_ANSWERS = {
    "GET /health": ("200 OK", JSON, b'{"status": 1}'),
    "GET /health/live": ("418 I'm a Teapot", JSON, b"{}"),
    "GET /health/ready": ("200 OK", TEXT, b"{}"),
    "GET /api/v1/seats/layouts": ("500 Internal Server Error", JSON, b"{}"),
    "POST /api/v1/reservations": ("400 Bad Request", JSON, b"{}"),
}


def undescribed(environ, start_response):
    path = environ["PATH_INFO"]
    only = ONLY_ANSWERS.get(f"{environ['REQUEST_METHOD']} {path}")
    if only:
        status, headers, body = only
        start_response(status, headers)
        return [body]
    if path == "/api/v1/reservations/my":
        environ["HTTP_AUTHORIZATION"] = f"Bearer {signed(claims(), os.environ['JWT_SECRET'])}"
    if path != "/api/v1/events":
        return service(environ, start_response)

    def start(status, headers, *rest):
        return start_response(status, [one for one in headers if one[0] != "ETag"], *rest)

    environ.update(REQUEST_METHOD="GET", QUERY_STRING="", RAW_URI=path)
    return service(environ, start)


app = create_app(Settings.from_environment())
service = app.wsgi_app
app.wsgi_app = undescribed  # type: ignore[method-assign]
