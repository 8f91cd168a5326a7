"""`gunicorn -c gunicorn.conf.py wsgi:app`; gunicorn.conf.py has patched the world before."""

import psycopg2
from gunicorn.errors import AppImportError

from ticket_service.app import create_app
from ticket_service.config import Settings
from ticket_service.schema import SchemaIncomplete

try:
    app = create_app(Settings.from_environment())
except (SchemaIncomplete, psycopg2.Error) as error:
    # gunicorn prints this as one line and ends; anything else it takes for a bug.
    raise AppImportError(str(error).strip()) from error
