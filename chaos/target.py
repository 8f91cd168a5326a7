"""What people and checkers need to know of a scene: `target.json` in the folder of the run."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

FILE = "target.json"


@dataclass(frozen=True)
class Stage:
    """An event on sale."""

    event_id: str
    seat_ids: list[str]
    ticket_type_ids: list[str]


@dataclass(frozen=True)
class Target:
    """The addresses, secrets and events of a scene."""

    url: str
    """The load balancer. It keeps a client that sends `X-Client: <any name>` at one instance, and
    each connection anyway."""

    jwt_secret_file: str
    """The file with the secret that signs tokens (HS256)."""

    internal_token: str
    """For `X-Internal-Token`."""

    database_url: str
    redis_url: str
    """The servers themselves, not through the weather. Both stay valid when a server restarts."""

    hold_seconds: float
    """How long a hold lasts."""

    threshold: int
    """How many may be inside the waiting room of an event at once. It holds for every event, and
    is a setting of the instances, so it is not lost with Redis."""

    hall: Stage
    """Few seats, which everybody wants. No more than half of `threshold` people at a time."""

    standing: Stage
    """Two ticket types, few tickets. No more than half of `threshold` people at a time."""

    crowded: Stage
    """Tickets behind a waiting room: more people than `threshold`."""

    def save(self, folder: Path) -> Path:
        """Write `target.json` into the folder; its path."""
        path = folder / FILE
        path.write_text(json.dumps(asdict(self), indent=1))
        return path

    @classmethod
    def load(cls, path: Path) -> Target:
        """Read what `save` wrote."""
        values = json.loads(path.read_text())
        for name in ("hall", "standing", "crowded"):
            values[name] = Stage(**values[name])
        return cls(**values)
