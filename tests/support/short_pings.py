"""The service with pings every second, so that a test need not wait for 45 seconds.

Run as `gunicorn -c gunicorn.conf.py tests.support.short_pings:app`.
"""

from ticket_service.app import create_app
from ticket_service.config import Settings

app = create_app(Settings.from_environment())
engine = app.extensions["ticket_service"].sockets._rooms.server.eio
engine.ping_interval = engine.ping_timeout = 1
