"""The yardstick: a Flask view that returns a constant, under gunicorn without an access log."""

from __future__ import annotations

from flask import Flask

app = Flask(__name__)


@app.get("/")
def constant() -> dict[str, bool]:
    """A constant."""
    return {"ok": True}
