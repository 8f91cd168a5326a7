"""The usual attacks on tokens, over HTTP and over a socket. Simpler faults are in test_auth.py."""

import json
import re
import socket
from collections.abc import Callable, Iterator
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.support.buyers import token_for
from tests.support.service import JWT_SECRET, Service
from tests.support.tokens import UUID, claims, encoded, signed
from tests.support.websocket import newcomer
from tests.support.wire import check_error

LATER = 4_102_444_800  # 2100

OWN_KEY = "a key that the attacker has chosen, of more than 32 bytes"

PRIVATE = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
PUBLIC = PRIVATE.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def over_socket(service: Service, token: str) -> str | None:
    """Why a socket with this token is refused, or None if it is not."""
    with newcomer(service.port) as client:
        client.say("40" + json.dumps({"token": token}))
        answer = client.read_until(rb"4[04]\{.*\}")
    found = re.search(rb'"code":"(\w+)"', answer)
    return found[1].decode() if found else None


def check_refused(service: Service, token: str, code: str = "INVALID_TOKEN") -> None:
    """Fail unless the token opens nothing, on either way."""
    check_error(service.get("/reservations/my", token=token), 401, code)
    assert over_socket(service, token) == code


def header(**others: Any) -> dict[str, Any]:
    return {"typ": "JWT", "alg": "HS256", **others}


def unsigned(text: str) -> str:
    """A token with this text as its header, and no signature."""
    payload = json.dumps(claims(role="admin")).encode()
    return f"{encoded(text.encode()).decode()}.{encoded(payload).decode()}."


def word(key: str) -> dict[str, str]:
    return {"kty": "oct", "k": encoded(key.encode()).decode()}


FORGED = {
    "none": unsigned('{"alg": "none"}'),
    "None": unsigned('{"alg": "None"}'),
    "NONE": unsigned('{"alg": "NONE"}'),
    "none with a letter that looks like one": unsigned('{"alg": "n\u043ene"}'),
    "none, then HS256": unsigned('{"alg": "none", "alg": "HS256"}'),
    "HS256, then none": unsigned('{"alg": "HS256", "alg": "none"}'),
    "HS256 without a signature": unsigned('{"alg": "HS256"}'),
    "an algorithm with a space": signed(claims(), header=header(alg="HS256 ")),
    "an algorithm with a NUL": signed(claims(), header=header(alg="HS256\0")),
    "a public key as the secret": signed(claims(), key=PUBLIC),
    "the private key": jwt.encode(claims(), PRIVATE, algorithm="RS256"),
    "the key of an empty file": signed(claims(), key="", header=header(kid="../../dev/null")),
    "the key of a query": signed(claims(), key="k", header=header(kid="x' UNION SELECT 'k' --")),
    "the key of a command": signed(claims(), key="k", header=header(kid="/dev/null|echo k")),
    "a key of its own": signed(claims(), key=OWN_KEY, header=header(jwk=word(OWN_KEY))),
    "a certificate of its own": signed(claims(), key=OWN_KEY, header=header(x5c=["AAAA"])),
    "a payload that is compressed": signed(claims(), key=OWN_KEY, header=header(zip="DEF")),
    "a token in a token": signed(signed(claims())),
    "a header that is a list": unsigned('["HS256"]'),
    "a header that is no JSON": unsigned("alg: none"),
    "an empty header": unsigned(""),
}


@pytest.mark.parametrize("token", FORGED.values(), ids=FORGED.keys())
def test_a_forged_token_opens_nothing(service: Service, token: str):
    check_refused(service, token)


@pytest.fixture
def listener() -> Iterator[tuple[str, Callable[[], bool]]]:
    """An address that the attacker has, and whether anybody has connected to it."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(1)

        def called() -> bool:
            try:
                server.accept()[0].close()
            except TimeoutError:
                return False
            return True

        yield f"http://127.0.0.1:{server.getsockname()[1]}/keys", called


def test_no_key_is_fetched_from_where_the_token_says(
    service: Service, listener: tuple[str, Callable[[], bool]]
):
    url, called = listener
    for name in ("jku", "x5u", "kid", "iss"):
        check_refused(service, signed(claims(iss=url), OWN_KEY, header=header(**{name: url})))
    assert not called()


def test_a_name_of_a_key_changes_nothing(service: Service):
    token = signed(claims(), header=header(kid="../../dev/null", x="y"))
    assert service.get("/reservations/my", token=token).status == 200


WRONG_CLAIMS = [
    {"userId": "\uff10\uff411b2c3d-4e5f-4a6b-8c7d-0123456789ab"},
    {"userId": UUID[:-1] + "\u0661"},
    {"userId": UUID + "\u200b"},
    {"userId": "\u202e" + UUID},
    {"userId": f" {UUID}"},
    {"userId": f"{UUID}' OR '1'='1"},
    {"userId": f"{UUID}}}:queue"},
    {"userId": [UUID]},
    {"userId": {"$ne": None}},
    {"role": "admin\0"},
    {"role": "Admin"},
    {"role": "\uff41dmin"},
    {"role": ["admin"]},
    {"role": {"admin": True}},
    {"role": True},
    {"exp": [9_999_999_999]},
    {"exp": "9" * 400},
    {"nbf": LATER},
    {"nbf": "tomorrow"},
    {"nbf": {}},
    {"iat": LATER},
    {"iat": []},
]


@pytest.mark.parametrize("wrong", WRONG_CLAIMS, ids=ascii)
def test_a_signed_token_with_a_wrong_claim_opens_nothing(service: Service, wrong: dict[str, Any]):
    check_refused(service, signed(claims(**wrong)))


@pytest.mark.parametrize(
    "exp", [True, False, 0, -1, 1.5, -(10**400)], ids=lambda exp: repr(exp)[:20]
)
def test_an_end_that_is_over_is_over(service: Service, exp: float):
    check_refused(service, signed(claims(exp=exp)), "TOKEN_EXPIRED")


@pytest.mark.parametrize("exp", [10**18, 1e300, 4_102_444_800.5])
def test_an_end_that_is_far_away_is_far_away(service: Service, exp: float):
    token = signed(claims(exp=exp))
    assert service.get("/reservations/my", token=token).status == 200
    assert over_socket(service, token) is None


def test_a_large_token_is_taken_and_a_huge_one_is_not(service: Service):
    assert service.get("/reservations/my", token=token_for(note="x" * 5_000)).status == 200
    refused = service.get("/reservations/my", token=token_for(note="x" * 7_000))
    assert refused.status == 431
    huge = token_for(note="x" * 9_000)
    with newcomer(service.port) as client:
        client.say("40" + json.dumps({"token": huge}))
        assert client.close_code() == 1009


GOOD = "Authorization: Bearer {good}\r\n"
BAD = "Authorization: Bearer {bad}\r\n"


@pytest.mark.parametrize("lines", [GOOD + BAD, BAD + GOOD, GOOD + GOOD])
def test_of_several_tokens_none_counts(service: Service, lines: str):
    head = lines.format(good=token_for(role="admin"), bad=token_for(exp=1))
    with socket.create_connection(("127.0.0.1", service.port), timeout=30) as connection:
        connection.sendall(
            f"GET /api/v1/reservations/my HTTP/1.1\r\nHost: x\r\n{head}\r\n".encode()
        )
        connection.shutdown(socket.SHUT_WR)
        with connection.makefile("rb") as stream:
            assert stream.readline().split()[1] == b"401"


@pytest.mark.parametrize(
    ("query", "headers"),
    [
        ("?token={}&jwt={}&access_token={}", {}),
        ("", {"Cookie": "access_token_cookie={}; token={}"}),
        ("", {"X-Authorization": "Bearer {}", "Proxy-Authorization": "Bearer {}"}),
        ("", {"X-Access-Token": "{}", "X-Auth-Token": "{}", "X-Internal-Token": "{}"}),
    ],
    ids=["query", "cookie", "other authorization", "other headers"],
)
def test_a_token_counts_in_one_place_only(service: Service, query: str, headers: dict[str, str]):
    token = token_for()
    answer = service.get(
        f"/reservations/my{query.replace('{}', token)}",
        headers={name: value.replace("{}", token) for name, value in headers.items()},
    )
    check_error(answer, 401, "AUTHENTICATION_REQUIRED")


def test_with_another_secret_no_earlier_token_counts(start_service: Callable[..., Service]):
    """So all tokens can be ended at once: docs/operations.md, "Tokens"."""
    service = start_service(JWT_SECRET=OWN_KEY)
    check_refused(service, token_for())
    assert service.get("/reservations/my", token=signed(claims(), OWN_KEY)).status == 200
    assert JWT_SECRET != OWN_KEY
    service.kill()
