"""A Socket.IO client that polls, without a library."""

import json
import re

from tests.support.buyers import token_for
from tests.support.service import Response, Service

PATH = "/socket.io/?EIO=4&transport=polling"


class Polling:
    """A client that polls only when a test says so."""

    def __init__(self, service: Service, *, signed_in: bool = True) -> None:
        self._service = service
        opened = service.request("GET", PATH)
        [sid] = re.findall(rb'"sid":"([^"]+)"', opened.body)
        self.sid: str = sid.decode()
        if signed_in:
            assert self.post("40" + json.dumps({"token": token_for()})).status == 200
            assert self.get().body.startswith(b'40{"sid"')

    def get(self) -> Response:
        """Poll."""
        return self._service.request("GET", f"{PATH}&sid={self.sid}")

    def post(self, text: str) -> Response:
        """Send packets."""
        return self._service.request("POST", f"{PATH}&sid={self.sid}", body=text.encode())
