"""The application with a deliberate mistake: every query blocks the event loop."""

from psycopg2 import extensions

from wsgi import app as app

extensions.set_wait_callback(None)
