"""The yardstick: what Flask and the gunicorn worker cost by themselves, without an access log."""

from __future__ import annotations

from flask import Flask

app = Flask(__name__)


@app.get("/")
def constant() -> dict[str, bool]:
    """A constant."""
    return {"ok": True}
