"""What a client that sends nonsense may get, and what the instance must not log."""

import re
from uuid import UUID

UNKNOWN = str(UUID(int=7))

JOINS = ["join-event", "leave-event", "join-queue", "leave-queue", "join-seat-selection"]


def troubles(service, logged=0):
    """Log lines of what nobody expected, after so many."""
    lines = service.log_lines()[logged:]
    return [line for line in lines if re.search("Traceback|[Ee]xception", str(line))]


def check_refusal(answer, code):
    assert answer.keys() - {"details"} == {"success", "error", "message", "code"}, answer
    assert (answer["success"], answer["code"]) == (False, code)
    assert answer["error"] == answer["message"] != ""
    assert not re.search("Traceback|Error|site-packages|line [0-9]", str(answer))
