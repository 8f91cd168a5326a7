"""People in front of an event that more want than it can serve."""

from __future__ import annotations

from chaos.people_calls import Crowd
from chaos.people_sale import Buyer

PATIENCE = 400
"""Looks at one's place before one gives up."""


class Visitor(Buyer):
    """A person who waits in line, buys if let in, and goes."""

    def visit(self) -> None:
        """Enter, wait, buy or not, and leave one way or another."""
        if not self._wait_for_entry():
            return
        for _ in range(self.chance.randint(1, 6)):
            self.crowd.wait(self.chance.uniform(0.1, 0.6))
            if self.look(self.chance.choice(["heartbeat", "status", "status"])) != "active":
                return
        way = self.chance.random()
        if way < 0.3:
            return  # silent: the place is lost after a while
        held = self.hold() if way < 0.7 else None
        if held and self.chance.random() < 0.5:
            self.pay(held["id"])
        elif held:
            self.cancel(held["id"])
        else:
            self.go()

    def look(self, action: str) -> str:
        """Check, look at one's place or send a heartbeat; the status, or "" if it was not told."""
        method = "GET" if action == "status" else "POST"
        event = self.stage.event_id
        told = self.ask(action, f"{method} /queue/{action}/{event}", {"event": event})
        if told.status != 200:
            self.pause_after(told)
            return ""
        status: str = told.answer["status"]
        return status

    def go(self) -> None:
        """Give up the place."""
        event = self.stage.event_id
        self.ask("leave", f"POST /queue/leave/{event}", {"event": event})

    def _wait_for_entry(self) -> bool:
        """Wait in line. Returns whether the person was let in.

        A few leave the line; of these, some come back at once, as when a page is loaded again.
        """
        status = self.look("check")
        for _ in range(PATIENCE):
            if status == "active" or self.crowd.stopping.is_set():
                return status == "active"
            self.crowd.wait(self.chance.uniform(0.4, 1.6))
            if self.chance.random() < 0.01:
                self.go()
                if self.chance.random() < 0.5:
                    return False
                status = self.look("check")
            elif status == "not_in_queue":
                status = self.look("check")
            else:
                status = self.look("status")
        return False


def queue(crowd: Crowd) -> None:
    """Be one person after another, until the process is told to stop. Run it in a thread."""
    while not crowd.stopping.is_set():
        visitor = Visitor(crowd, crowd.target.crowded)
        visitor.visit()
        visitor.close()
