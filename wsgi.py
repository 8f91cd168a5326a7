"""`gunicorn -c gunicorn.conf.py wsgi:app`; the configuration patches and checks the database."""

from ticket_service.app import create_app
from ticket_service.config import Settings

app = create_app(Settings.from_environment())
