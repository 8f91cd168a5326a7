"""Reading events and their list."""

from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

from tests.support.service import Service


def word() -> str:
    """Return a word that no rows of other tests contain."""
    return f"w{uuid4().hex}"


def get(service: Service, path: str, **query: object) -> Any:
    response = service.get(f"{path}?{urlencode(query)}")
    assert response.status == 200, response.body
    return response.json()


def listed(service: Service, **query: object) -> list[str]:
    """Return the ids of the listed events."""
    return [event["id"] for event in get(service, "/events", limit=100, **query)["events"]]
