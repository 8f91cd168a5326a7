"""nginx in front of an instance, as a gateway has it: connections to the instance are kept."""

import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from dev.processes import free_port, running, wait_until

PROGRAM = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
"""None where it is not installed."""

CONFIGURATION = """
daemon off;
{user}
pid {folder}/nginx.pid;
error_log stderr warn;
worker_processes 1;
events {{ worker_connections 256; }}
http {{
    log_format ids '$request_id $upstream_addr';
    access_log {folder}/forwarded.log ids;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    map $http_upgrade $connection_option {{ default upgrade; '' ''; }}
    upstream service {{ server 127.0.0.1:{service}; keepalive 1; }}
    {lenient}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://service;
            proxy_http_version 1.1;
            proxy_next_upstream off;
            proxy_set_header Host $host;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection $connection_option;
            proxy_set_header X-Request-ID $request_id;
        }}
    }}
}}
"""

LENIENT = """
    proxy_request_buffering off;
    ignore_invalid_headers off;
    underscores_in_headers on;
    merge_slashes off;
"""
"""Forwards bodies as they come, and headers that nginx would drop."""


class Front:
    """A running nginx."""

    def __init__(self, port: int, folder: Path) -> None:
        self.port = port
        self._log = folder / "forwarded.log"

    def forwarded(self) -> list[str]:
        """Return the X-Request-ID of each request that went to the instance and is done."""
        lines = self._log.read_text().splitlines()
        return [line.split()[0] for line in lines if not line.endswith(" -")]


@contextmanager
def run_nginx(folder: Path, service_port: int, *, lenient: bool) -> Iterator[Front]:
    """Run it until the block ends. Raises ProcessFailed."""
    assert PROGRAM
    port = free_port()
    folder = folder / f"nginx-{port}"
    folder.mkdir()
    configuration = folder / "nginx.conf"
    configuration.write_text(
        CONFIGURATION.format(
            user="user root;" if os.geteuid() == 0 else "",  # others cannot read the folder
            folder=folder,
            service=service_port,
            port=port,
            lenient=LENIENT if lenient else "",
        )
    )
    command: list[str | Path] = [PROGRAM, "-c", configuration, "-p", folder]
    log = folder / "nginx.log"
    with running(folder / "pid", command, log=log) as process:
        wait_until(lambda: _listens(port), process, "nginx", log)
        yield Front(port, folder)


def _listens(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5):
        return True
    return False
