"""The application with a mistake that must not be made: a query stops the whole event loop."""

from psycopg2 import extensions

from wsgi import app as app

extensions.set_wait_callback(None)
