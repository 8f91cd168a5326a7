"""A proxy in front of a server, which can behave like a bad network."""

import re
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from threading import Event, Thread

from dev.processes import free_port

Address = tuple[str, int] | str
"""Host and port, or the path of a Unix socket."""


class Proxy:
    """Listens on a port of 127.0.0.1, and passes bytes on in both directions."""

    def __init__(self, upstream: Address) -> None:
        self.upstream = upstream
        self.port = free_port()
        self._listener: socket.socket | None = None
        self._clients: set[socket.socket] = set()
        self._acceptor = Thread()
        self._servers: list[Thread] = []
        self._flowing = Event()
        self._losing_answers = False
        self._losing_answer_to: bytes | None = None
        self._lost: set[socket.socket] = set()
        self._delay: tuple[bytes, float] | None = None
        self._late: set[socket.socket] = set()
        self._latency = 0.0
        self.restore()

    def restore(self) -> None:
        """Be a good network again. Bytes that `hang` held back arrive now."""
        self._losing_answers = False
        self._losing_answer_to = None
        self._latency = 0.0
        self._flowing.set()
        if self._listener is None:
            self._listener = socket.create_server(("127.0.0.1", self.port), backlog=1_000)
            self._acceptor = Thread(target=self._accept, args=(self._listener,))
            self._acceptor.start()

    def cut(self) -> None:
        """Break every connection, but accept new ones."""
        for client in list(self._clients):
            _shut(client)

    def refuse(self) -> None:
        """Break every connection and refuse new ones."""
        if self._listener is not None:
            _shut(self._listener)
            self._acceptor.join()
            self._listener.close()
            self._listener = None
        self.cut()

    def hang(self) -> None:
        """Accept connections, but pass nothing on, neither on old ones nor on new ones."""
        self._flowing.clear()

    def lose_answers(self) -> None:
        """Pass requests on, and break the connection when the answer comes."""
        self._losing_answers = True

    def lose_answer(self, question: bytes) -> None:
        """Do that only to requests that contain these bytes."""
        self._losing_answer_to = question

    def delay_answer(self, question: bytes, seconds: float) -> None:
        """Delay the answer to the next request that contains these bytes."""
        self._delay = question, seconds

    def slow_down(self, seconds: float) -> None:
        """Delay every answer."""
        self._latency = seconds

    def delays(self) -> bool:
        """Whether the answer that `delay_answer` named is the one held back now, or has passed."""
        return self._delay is None

    def close(self) -> None:
        """Break every connection, and end all threads."""
        self.refuse()
        self._flowing.set()
        for thread in self._servers:
            thread.join()

    def route(self, client: socket.socket) -> Address:
        """Return the server for this connection."""
        return self.upstream

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):  # the listener was shut
            while True:
                client, _ = listener.accept()
                self._clients.add(client)
                self._servers.append(Thread(target=self._serve, args=(client,)))
                self._servers[-1].start()

    def _serve(self, client: socket.socket) -> None:
        with client, suppress(OSError), _connect(self.route(client)) as server:
            answers = Thread(target=self._pass, args=(server, client, True))
            answers.start()
            self._pass(client, server)
            answers.join()
        self._clients.discard(client)

    def _pass(self, source: socket.socket, target: socket.socket, answers: bool = False) -> None:
        with suppress(OSError):
            while data := source.recv(65_536):
                self._flowing.wait()
                if not answers and self._delay and self._delay[0] in data:
                    self._late.add(target)
                if source in self._late and self._delay:
                    self._late.discard(source)
                    (_, seconds), self._delay = self._delay, None
                    time.sleep(seconds)
                if not answers and self._losing_answer_to and self._losing_answer_to in data:
                    self._lost.add(target)
                if answers and (self._losing_answers or source in self._lost):
                    break
                if answers:
                    time.sleep(self._latency)
                target.sendall(data)
        _shut(source)
        _shut(target)


class Affinity(Proxy):
    """Leads each client, by its header X-Client, always to the same one of several servers."""

    def __init__(self, upstreams: Sequence[Address]) -> None:
        self._upstreams = upstreams
        self.clients: dict[bytes, Address] = {}
        super().__init__(upstreams[0])

    def route(self, client: socket.socket) -> Address:
        head = b""
        while b"\r\n\r\n" not in head:
            head = client.recv(65_536, socket.MSG_PEEK)
        [name] = re.findall(rb"(?i)\r\nX-Client: (.*)\r\n", head)
        return self.clients.setdefault(
            name, self._upstreams[len(self.clients) % len(self._upstreams)]
        )


@contextmanager
def proxy(upstream: Address) -> Iterator[Proxy]:
    """Run a proxy until the block ends."""
    with closing(Proxy(upstream)) as made:
        yield made


def _connect(address: Address) -> socket.socket:
    if not isinstance(address, str):
        return socket.create_connection(address)
    server = socket.socket(socket.AF_UNIX)
    try:
        server.connect(address)
    except OSError:
        server.close()
        raise
    return server


def _shut(end: socket.socket) -> None:
    """Shut the socket down, which wakes a thread that waits for it."""
    with suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
