"""The application with the one mistake that design rule 9 forbids: a query stops the whole loop."""

from psycopg2 import extensions

from wsgi import app as app

extensions.set_wait_callback(None)
