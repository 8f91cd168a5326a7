"""The yardstick: a Flask view that returns a constant."""

from __future__ import annotations

from flask import Flask

app = Flask(__name__)


@app.get("/")
def constant() -> dict[str, bool]:
    """A constant."""
    return {"ok": True}
