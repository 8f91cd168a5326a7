"""What variants of the service with something broken are made of: those of
tests/support/unguarded.py and chaos/variants.py."""

import hashlib

from ticket_service.stores.redis import LuaScript
from ticket_service.stores.waiting_lines import WaitingLines


def changed_script(name: str, old: str, new: str) -> LuaScript:
    """Return a script of the waiting room, with one piece of it replaced."""
    script = LuaScript("waiting_room", name)
    assert script.source.count(old) == 1
    script.source = script.source.replace(old, new)
    script.sha = hashlib.sha1(script.source.encode()).hexdigest()
    return script


def lock_no_seats_in_redis() -> None:
    """Let every buyer pass the gate, whoever has locked the seats."""
    pass_gate = WaitingLines.pass_gate
    WaitingLines.pass_gate = (  # type: ignore[method-assign]
        lambda self, event_id, user_id, seat_ids, owner: pass_gate(
            self, event_id, user_id, [], owner
        )
    )
