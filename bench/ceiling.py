"""A server with a constant answer, to measure the load generator. Its argument is the port."""

from __future__ import annotations

import select
import socket
import sys

ANSWER = (
    b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 11\r\n\r\n{"ok":true}'
)


def main() -> None:
    """Answer every read from every connection, until killed."""
    with socket.create_server(("127.0.0.1", int(sys.argv[1]))) as server, select.epoll() as epoll:
        clients = {}
        epoll.register(server, select.EPOLLIN)
        while True:
            for descriptor, _ in epoll.poll():
                if descriptor == server.fileno():
                    client, _ = server.accept()
                    clients[client.fileno()] = client
                    epoll.register(client, select.EPOLLIN)
                elif clients[descriptor].recv(4096):
                    clients[descriptor].send(ANSWER)
                else:
                    clients.pop(descriptor).close()


if __name__ == "__main__":
    main()
