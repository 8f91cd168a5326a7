"""How a process lives: the gunicorn worker, the logs, the loops."""
