"""`gunicorn -c gunicorn.conf.py wsgi:app`; gunicorn.conf.py has patched the world before."""

from ticket_service.app import create_app
from ticket_service.config import Settings

app = create_app(Settings.from_environment())
