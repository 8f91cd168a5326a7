"""Requests that two servers may read differently: where does the body end, which line is a header?

Each has an *inner* request within it, or right behind it. ID stands for the inner one's id.
"""

from typing import NamedTuple

ID = "@" * 32

INNER = f"GET /api/v1/events?limit=1 HTTP/1.1\r\nHost: x\r\nX-Request-ID: {ID}\r\n\r\n"

SIZE = len(INNER)

START = "POST /api/v1/reservations HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
"""TOKEN may follow: with one the body is read, without one it is not wanted."""

TOKEN = "TOKEN"

REFUSED = "refused"
"""With 400, and the connection is closed."""

BROKEN = "broken"
"""The body is broken: refused if it is read. The connection is closed in any case."""

WITHIN = "within"
"""The inner request is part of the body, and the next request on the connection is answered."""

BEHIND = "behind"
"""The inner request is one of its own, also for any server in front."""

ONLY = "only"
"""The first request is answered, and nothing behind it."""


class Pair(NamedTuple):
    """What is sent, and how it must be taken."""

    sent: str
    taken: str


def post(lines: str, body: str) -> str:
    return f"{START}{TOKEN}{lines}\r\n\r\n{body}"


def chunk(data: str) -> str:
    return f"{len(data):x}\r\n{data}\r\n"


LENGTHS = {
    "a length": ("Content-Length: {}", WITHIN),
    "a length after spaces": ("Content-Length:   {}\t", WITHIN),
    "a length with zeros": ("Content-Length: 000{}", WITHIN),
    "a sign": ("Content-Length: +{}", REFUSED),
    "a negative length": ("Content-Length: -{}", REFUSED),
    "a length in hexadecimal": ("Content-Length: 0x{}", REFUSED),
    "a fraction": ("Content-Length: {}.0", REFUSED),
    "an exponent": ("Content-Length: {}e0", REFUSED),
    "an underscore in the number": ("Content-Length: {}_0", REFUSED),
    "two numbers": ("Content-Length: 0 {}", REFUSED),
    "a list of the same": ("Content-Length: {0}, {0}", REFUSED),
    "a list": ("Content-Length: 0, {}", REFUSED),
    "the same twice": ("Content-Length: {0}\r\nContent-Length: {0}", REFUSED),
    "two lengths, the first 0": ("Content-Length: 0\r\nContent-Length: {}", REFUSED),
    "two lengths, the last 0": ("Content-Length: {}\r\nContent-Length: 0", REFUSED),
    "no number": ("Content-Length: ", REFUSED),
    "a vertical tab before the number": ("Content-Length: \x0b{}", REFUSED),
    "a NUL after the number": ("Content-Length: {}\0", REFUSED),
    "digits of another script": ("Content-Length: \xd9\xa1{}", REFUSED),
    "a superscript": ("Content-Length: {}\xb2", REFUSED),
    "a space before the colon": ("Content-Length : {}", REFUSED),
    "a tab before the colon": ("Content-Length\t: {}", REFUSED),
    "a length in a fold": ("X: y\r\n Content-Length: {}", REFUSED),
    "a length behind LF": ("X: y\nContent-Length: {}", REFUSED),
    "a length behind CR": ("X: y\rContent-Length: {}", REFUSED),
    "an underscore in the name": ("Content_Length: {}", BEHIND),
    "a zero, then a body": ("Content-Length: 0", BEHIND),
}

CODINGS = {
    "chunked": "Transfer-Encoding: chunked",
    "in capitals": "TRANSFER-ENCODING: CHUNKED",
    "an unknown coding": "Transfer-Encoding: xchunked",
    "a quoted coding": 'Transfer-Encoding: "chunked"',
    "identity first": "Transfer-Encoding: identity, chunked",
    "identity last": "Transfer-Encoding: chunked, identity",
    "chunked twice": "Transfer-Encoding: chunked, chunked",
    "chunked on two lines": "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
    "another on the second line": "Transfer-Encoding: chunked\r\nTransfer-Encoding: x",
    "another on the first line": "Transfer-Encoding: x\r\nTransfer-Encoding: chunked",
    "an empty member": "Transfer-Encoding: ,chunked",
    "a parameter": "Transfer-Encoding: chunked;q=1",
    "a word before": "Transfer-Encoding: x chunked",
    "a vertical tab before": "Transfer-Encoding: \x0bchunked",
    "a form feed after": "Transfer-Encoding: chunked\x0c",
    "a NUL after": "Transfer-Encoding: chunked\0",
    "a tab before": "Transfer-Encoding:\tchunked",
    "a space before the colon": "Transfer-Encoding : chunked",
    "a tab before the colon": "Transfer-Encoding\t: chunked",
    "a NUL in the name": "Transfer-Encoding\0: chunked",
    "a letter of another script": "Transfer-Encod\xc4\xb1ng: chunked",
    "a space before the name": "X: y\r\n Transfer-Encoding: chunked",
    "a tab before the name": "X: y\r\n\tTransfer-Encoding: chunked",
    "behind LF": "X: y\nTransfer-Encoding: chunked",
    "behind CR": "X: y\rTransfer-Encoding: chunked",
    "the value in a fold": "Transfer-Encoding:\r\n chunked",
    "the value behind LF": "Transfer-Encoding:\n chunked",
    "no colon": "Transfer-Encoding chunked",
}

CHUNKS = {
    "a chunk": (chunk(INNER) + "0\r\n\r\n", WITHIN),
    "two zeros": (chunk(INNER) + "00\r\n\r\n", WITHIN),
    "an extension": (f"{SIZE:x};a=b\r\n{INNER}\r\n0;c\r\n\r\n", WITHIN),
    "a quoted extension": (f'{SIZE:x} ; a="b;c"\r\n{INNER}\r\n0\r\n\r\n', WITHIN),
    "a trailer": (chunk(INNER) + "0\r\nX-Trailer: y\r\n\r\n", WITHIN),
    "no chunks": ("0\r\n\r\n" + INNER, BEHIND),
    "an extension with LF": (f"5;\n{INNER}\r\n0\r\n\r\n", BROKEN),
    "an extension with CR": (f"5;a\rb\r\n12345\r\n0\r\n\r\n{INNER}", BROKEN),
    "a broken extension": (f"5;a=\x01\r\n12345\r\n0\r\n\r\n{INNER}", BROKEN),
    "a sign": (f"+5\r\n12345\r\n0\r\n\r\n{INNER}", BROKEN),
    "a negative size": (f"-5\r\n12345\r\n0\r\n\r\n{INNER}", BROKEN),
    "0x": (f"0x5\r\n12345\r\n0\r\n\r\n{INNER}", BROKEN),
    "an underscore": (f"0_5\r\n12345\r\n0\r\n\r\n{INNER}", BROKEN),
    "a space before": (f" 5\r\n12345\r\n0\r\n\r\n{INNER}", BROKEN),
    "a space after": (f"5 \r\n12345\r\n0\r\n\r\n{INNER}", BROKEN),
    "no size": (f"\r\n12345\r\n0\r\n\r\n{INNER}", BROKEN),
    "no hexadecimal": (f"g\r\n12345\r\n0\r\n\r\n{INNER}", BROKEN),
    "LF behind the size": (f"5\n12345\r\n0\r\n\r\n{INNER}", BROKEN),
    "LF behind the data": (f"5\r\n12345\n0\r\n\r\n{INNER}", BROKEN),
    "nothing behind the data": (f"5\r\n123450\r\n\r\n{INNER}", BROKEN),
    "too short a size": (f"4\r\n12345\r\n0\r\n\r\n{INNER}", BROKEN),
    "too long a size": (f"6\r\n12345\r\n0\r\n\r\n{INNER}", BROKEN),
    "LF at the end": (f"5\r\n12345\r\n0\n\n{INNER}", BROKEN),
    "a trailer behind LF": (f"0\r\nX: y\n\r\n{INNER}", BROKEN),
    "a length as a trailer": (f"0\r\nContent-Length: {SIZE}\r\n\r\n{INNER}", BROKEN),
    "a coding as a trailer": (f"0\r\nTransfer-Encoding: chunked\r\n\r\n{INNER}", BROKEN),
    "a token as a trailer": (f"0\r\nAuthorization: x\r\n\r\n{INNER}", BROKEN),
    "a broken trailer": (f"0\r\nno colon\r\n\r\n{INNER}", BROKEN),
}

GET = "GET /health HTTP/1.1\r\nHost: x\r\n"

HEADS = {
    "a GET with a body": Pair(f"{GET}Content-Length: {SIZE}\r\n\r\n{INNER}", WITHIN),
    "a GET with chunks": Pair(
        f"{GET}Transfer-Encoding: chunked\r\n\r\n{chunk(INNER)}0\r\n\r\n", WITHIN
    ),
    "a GET without a body": Pair(f"{GET}\r\n{INNER}", BEHIND),
    "an OPTIONS with a body": Pair(
        "OPTIONS /api/v1/events HTTP/1.1\r\nHost: x\r\nAccess-Control-Request-Method: GET\r\n"
        f"Content-Length: {SIZE}\r\n\r\n{INNER}",
        WITHIN,
    ),
    "a body for nothing": Pair(
        f"POST /nothing HTTP/1.1\r\nHost: x\r\nContent-Length: {SIZE}\r\n\r\n{INNER}", WITHIN
    ),
    "a body for a wrong method": Pair(
        f"DELETE /health HTTP/1.1\r\nHost: x\r\nContent-Length: {SIZE}\r\n\r\n{INNER}", WITHIN
    ),
    "a body for the sockets": Pair(
        "POST /socket.io/?EIO=4&transport=polling&sid=x HTTP/1.1\r\nHost: x\r\n"
        f"Content-Length: {SIZE}\r\n\r\n{INNER}",
        WITHIN,
    ),
    "a body that is announced": Pair(
        post(f"Expect: 100-continue\r\nContent-Length: {SIZE}", INNER), WITHIN
    ),
    "another expectation": Pair(post(f"Expect: x\r\nContent-Length: {SIZE}", INNER), REFUSED),
    "the last request": Pair(f"{GET}Connection: close\r\n\r\n{INNER}", ONLY),
    "chunks in HTTP/1.0": Pair(
        post("Transfer-Encoding: chunked", "0\r\n\r\n" + INNER).replace("HTTP/1.1", "HTTP/1.0", 1),
        REFUSED,
    ),
    "HTTP/1.0": Pair(f"GET /health HTTP/1.0\r\nHost: x\r\n\r\n{INNER}", ONLY),
    "HTTP/2": Pair(f"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n{INNER}", REFUSED),
    "HTTP/0.9": Pair(f"GET /health\r\n\r\n{INNER}", REFUSED),
    "a version with a space": Pair(f"GET /health HTTP/1.1 \r\nHost: x\r\n\r\n{INNER}", REFUSED),
    "a version with a letter": Pair(f"GET /health HTTP/1.1x\r\nHost: x\r\n\r\n{INNER}", REFUSED),
    "two spaces": Pair(f"GET  /health HTTP/1.1\r\nHost: x\r\n\r\n{INNER}", REFUSED),
    "tabs": Pair(f"GET\t/health\tHTTP/1.1\r\nHost: x\r\n\r\n{INNER}", REFUSED),
    "a CR in the request line": Pair(f"GET /health\r HTTP/1.1\r\nHost: x\r\n\r\n{INNER}", REFUSED),
    "LF for CRLF": Pair(f"GET /health HTTP/1.1\nHost: x\n\n{INNER}", REFUSED),
    "LF at the end of the head": Pair(f"{GET}\n{INNER}", REFUSED),
    "two hosts": Pair(f"{GET}Host: y\r\n\r\n{INNER}", REFUSED),
    "a header without a name": Pair(f"{GET}: x\r\n\r\n{INNER}", REFUSED),
    "a header with a space in its name": Pair(f"{GET}X y: z\r\n\r\n{INNER}", REFUSED),
    "a folded header": Pair(f"{GET}X: y\r\n z\r\n\r\n{INNER}", REFUSED),
    "a space before the first header": Pair(
        f"GET /health HTTP/1.1\r\n Host: x\r\n\r\n{INNER}", REFUSED
    ),
    "an upgrade to h2c": Pair(
        f"{GET}Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"
        f"\r\n{INNER}",
        BEHIND,
    ),
    "an upgrade of what is no socket": Pair(
        f"{GET}Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        f"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n{INNER}",
        BEHIND,
    ),
    "an upgrade of the wrong version": Pair(
        "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n"
        f"Upgrade: websocket\r\nSec-WebSocket-Version: 777\r\n\r\n{INNER}",
        BEHIND,
    ),
    "an upgrade": Pair(
        "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n"
        "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        f"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n{INNER}",
        ONLY,
    ),
}

PAIRS = {
    **{
        f"length: {name}": Pair(post(line.format(SIZE), INNER), taken)
        for name, (line, taken) in LENGTHS.items()
    },
    **{
        f"CL.TE: {name}": Pair(
            post(f"Content-Length: {SIZE + 5}\r\n{line}", "0\r\n\r\n" + INNER), REFUSED
        )
        for name, line in CODINGS.items()
    },
    **{
        f"TE.CL: {name}": Pair(
            post(f"{line}\r\nContent-Length: 4", f"{SIZE:x}\r\n{INNER}\r\n0\r\n\r\n"), REFUSED
        )
        for name, line in CODINGS.items()
    },
    "CL.TE: an underscore": Pair(
        post(f"Content-Length: {SIZE + 5}\r\nTransfer_Encoding: chunked", "0\r\n\r\n" + INNER),
        WITHIN,
    ),
    **{
        f"chunks: {name}": Pair(post("Transfer-Encoding: chunked", body), taken)
        for name, (body, taken) in CHUNKS.items()
    },
    **HEADS,
}
