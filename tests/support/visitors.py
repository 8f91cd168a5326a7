"""People in front of a waiting room, and the admins who run it."""

from typing import Any
from uuid import uuid4

from tests.support.buyers import token_for
from tests.support.service import Service

PLACE = {
    "queued",
    "status",
    "position",
    "estimatedWait",
    "queueSize",
    "currentUsers",
    "threshold",
    "stayEndsAt",
}
"""The keys of every answer about a place."""


class Visitor:
    """A person in the waiting room of an event. Each call fails unless the answer is 200."""

    def __init__(self, service: Service, event_id: str, user_id: str | None = None) -> None:
        self.service = service
        self.event_id = event_id
        self.id = user_id or str(uuid4())
        self.token = token_for(self.id)

    def check(self, service: Service | None = None) -> dict[str, Any]:
        """Enter or take a place in line, through another instance if one is given."""
        return self._ask("POST", "check", service or self.service)

    def status(self, service: Service | None = None) -> dict[str, Any]:
        """Get the place, which is also a sign of life."""
        return self._ask("GET", "status", service or self.service)

    def heartbeat(self) -> dict[str, Any]:
        """Send a sign of life."""
        return self._ask("POST", "heartbeat", self.service)

    def leave(self, service: Service | None = None) -> dict[str, Any]:
        """Give up the place."""
        return self._ask("POST", "leave", service or self.service)

    def stands(self) -> tuple[str, int]:
        """Return status and position."""
        place = self.status()
        return place["status"], place["position"]

    def _ask(self, method: str, call: str, service: Service) -> dict[str, Any]:
        path = f"/api/v1/queue/{call}/{self.event_id}"
        answer = service.request(method, path, token=self.token)
        assert answer.status == 200, answer.body
        body: dict[str, Any] = answer.json()
        return body


def arrive(service: Service, event_id: str, count: int) -> list[Visitor]:
    """Let so many new people enter, one after the other."""
    visitors = [Visitor(service, event_id) for _ in range(count)]
    for visitor in visitors:
        visitor.check()
    return visitors


def overview(service: Service, event_id: str) -> dict[str, Any]:
    """Return what an admin sees."""
    return _as_admin(service, "GET", f"/queue/admin/{event_id}")


def run_queue(service: Service, event_id: str, **changes: object) -> dict[str, Any]:
    """Set `threshold`, `paused` or both, as an admin."""
    return _as_admin(service, "PUT", f"/queue/admin/{event_id}", json=changes)


def clear_queue(service: Service, event_id: str) -> dict[str, Any]:
    """Send everyone away, as an admin."""
    return _as_admin(service, "POST", f"/queue/admin/clear/{event_id}")


def _as_admin(service: Service, method: str, path: str, **options: Any) -> dict[str, Any]:
    answer = service.request(method, f"/api/v1{path}", token=token_for(role="admin"), **options)
    assert answer.status == 200, answer.body
    body: dict[str, Any] = answer.json()
    return body
