"""A load balancer in front of the instances, as in a cluster."""

import itertools
import time
from contextlib import suppress
from threading import Thread

import urllib3

from tests.support.proxy import Address, Proxy
from tests.support.service import Service


class Balancer(Proxy):
    """Distributes new connections to the instances that were ready at the last probe."""

    def __init__(self) -> None:
        self.services: list[Service] = []
        self._ready: list[Service] = []
        self._turn = itertools.count()
        self._probing = True
        self._prober = Thread(target=self._probe)
        super().__init__(("127.0.0.1", 0))
        self._prober.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def route(self, client: object) -> Address:
        ready = self._ready
        if not ready:
            raise ConnectionRefusedError
        return "127.0.0.1", ready[next(self._turn) % len(ready)].port

    def is_ready(self, service: Service) -> bool:
        """Whether it gets new connections."""
        return service in self._ready

    def close(self) -> None:
        self._probing = False
        self._prober.join()
        super().close()

    def _probe(self) -> None:
        while self._probing:
            self._ready = [service for service in self.services[:] if _is_ready(service)]
            time.sleep(0.1)


def _is_ready(service: Service) -> bool:
    with suppress(urllib3.exceptions.HTTPError):
        return service.request("GET", "/health/ready").status == 200
    return False
