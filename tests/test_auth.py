"""Who is calling: tokens of the Auth Service, good ones and all others."""

import json
import time
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from tests.support.buyers import token_for
from tests.support.service import Service
from tests.support.tokens import UUID, claims, encoded, signed
from tests.support.wire import check_error, check_soon, each

StartService = Callable[..., Service]

PROTECTED = [
    ("POST", "/seats/reserve"),
    ("GET", f"/seats/reservation/{UUID}"),
    ("POST", "/reservations"),
    ("GET", "/reservations/my"),
    ("GET", f"/reservations/{UUID}"),
    ("POST", f"/reservations/{UUID}/cancel"),
    ("POST", f"/queue/check/{UUID}"),
    ("GET", f"/queue/status/{UUID}"),
    ("POST", f"/queue/heartbeat/{UUID}"),
    ("POST", f"/queue/leave/{UUID}"),
    ("GET", f"/queue/admin/{UUID}"),
    ("PUT", f"/queue/admin/{UUID}"),
    ("POST", f"/queue/admin/clear/{UUID}"),
]


def mine(service: Service, token: str) -> int:
    """The status of the simplest request that wants a token."""
    return service.get("/reservations/my", token=token).status


@pytest.mark.parametrize("role", ["user", "admin"])
def test_a_good_token_opens_the_door(service: Service, role: str):
    assert mine(service, token_for(role=role)) == 200
    assert mine(service, signed(claims(role=role))) == 200


@pytest.mark.parametrize(("method", "path"), PROTECTED)
@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({}, "AUTHENTICATION_REQUIRED"),
        ({"Authorization": "Bearer not-a-token"}, "INVALID_TOKEN"),
        ({"Authorization": f"Bearer {token_for(exp=1)}"}, "TOKEN_EXPIRED"),
    ],
    ids=["none", "invalid", "expired"],
)
def test_every_private_call_wants_a_token_before_it_looks_at_the_body(
    service: Service, method: str, path: str, headers: dict[str, str], code: str
):
    answer = service.request(method, f"/api/v1{path}", headers=headers, body="{broken")
    check_error(answer, 401, code)


def test_a_token_is_wanted_before_the_query_is_looked_at(service: Service):
    check_error(service.get("/reservations/my?page=0"), 401, "AUTHENTICATION_REQUIRED")


@pytest.mark.parametrize(
    ("authorization", "code"),
    [
        ("", "AUTHENTICATION_REQUIRED"),
        ("Basic dXNlcjpwYXNz", "AUTHENTICATION_REQUIRED"),
        ("{token}", "AUTHENTICATION_REQUIRED"),
        ("Token {token}", "AUTHENTICATION_REQUIRED"),
        ("Bearer", "INVALID_TOKEN"),
        ("Bearer ", "INVALID_TOKEN"),
        ("Bearer {token} {token}", "INVALID_TOKEN"),
        ("Bearer {token}, Bearer {token}", "AUTHENTICATION_REQUIRED"),
        ("Bearer x{token}", "INVALID_TOKEN"),
        ("Bearer {token}x", "INVALID_TOKEN"),
        ("Bearer ..", "INVALID_TOKEN"),
        ("Bearer a.b", "INVALID_TOKEN"),
        ("Bearer a.b.c", "INVALID_TOKEN"),
        ("Bearer a.b.c.d.e", "INVALID_TOKEN"),
        ("Bearer e30.e30.e30", "INVALID_TOKEN"),
        ("Bearer \xe9.\xff.\xfe", "INVALID_TOKEN"),
        ("\xff\xfe {token}", "AUTHENTICATION_REQUIRED"),
        ("Bearer " + "x" * 8_000, "INVALID_TOKEN"),
        ("Bearer " + encoded(b"[" * 5_000).decode() + ".e30.e30", "INVALID_TOKEN"),
    ],
    ids=lambda text: repr(text[:25]),
)
def test_an_authorization_that_is_no_token_is_refused(
    service: Service, authorization: str, code: str
):
    headers = {"Authorization": authorization.format(token=token_for())}
    check_error(service.get("/reservations/my", headers=headers), 401, code)


@pytest.mark.parametrize(
    "authorization",
    [
        "Bearer   {token}",
        " Bearer {token} ",
        "Bearer {token},",
        "Basic dXNlcjpwYXNz, Bearer {token}",
    ],
)
def test_a_token_may_stand_in_any_header_that_http_allows(service: Service, authorization: str):
    headers = {"Authorization": authorization.format(token=token_for())}
    assert service.get("/reservations/my", headers=headers).status == 200
    headers = {"Authorization": authorization.format(token=token_for(exp=1))}
    check_error(service.get("/reservations/my", headers=headers), 401, "TOKEN_EXPIRED")
    headers = {"Authorization": authorization.format(token=token_for(role="root"))}
    check_error(service.get("/reservations/my", headers=headers), 401, "INVALID_TOKEN")


@pytest.mark.parametrize("where", ["token", "access_token", "jwt", "authorization"])
def test_a_token_counts_only_in_its_header(service: Service, where: str):
    path, token = f"/reservations/my?{where}={token_for()}", token_for()
    cookies = {"Cookie": f"{where}={token}; access_token_cookie={token}"}
    check_error(service.get(path, headers=cookies), 401, "AUTHENTICATION_REQUIRED")
    in_body = service.post("/reservations", json={where: token})
    check_error(in_body, 401, "AUTHENTICATION_REQUIRED")


@pytest.mark.parametrize(
    "token",
    [
        signed(claims(), key="another secret, of which nobody here has ever heard"),
        signed(claims(), key=""),
        signed(claims(), header={"alg": "HS512"}, hash="sha512"),
        signed(claims(), header={"alg": "HS384"}, hash="sha384"),
        signed(claims(), header={"alg": "RS256"}),
        signed(claims(), header={"alg": "hs256"}),
        signed(claims(), header={"alg": "none"}),
        signed(claims(), header={"alg": ["HS256"]}),
        signed(claims(), header={"alg": None}),
        signed(claims(), header={}),
        jwt.encode(claims(), "", algorithm="none"),
        signed(claims(), header={"alg": "none"}).rsplit(".", 1)[0] + ".",
        signed(claims()).rsplit(".", 1)[0] + ".",
        signed(claims(), header={"alg": "HS256", "crit": ["exp"]}),
        signed(claims(), header={"alg": "HS256", "b64": False, "crit": ["b64"]}),
    ],
    ids=[
        "secret",
        "no secret",
        "HS512",
        "HS384",
        "RS256",
        "hs256",
        "none, signed",
        "list",
        "null",
        "no alg",
        "none",
        "none, cut",
        "cut",
        "crit",
        "b64",
    ],
)
def test_a_forged_token_is_refused(service: Service, token: str):
    check_error(service.get("/reservations/my", token=token), 401, "INVALID_TOKEN")


def test_a_changed_token_is_refused(service: Service):
    header, _, signature = signed(claims()).split(".")
    payload = encoded(json.dumps(claims(role="admin")).encode()).decode()
    answer = service.get("/reservations/my", token=f"{header}.{payload}.{signature}")
    check_error(answer, 401, "INVALID_TOKEN")


def test_a_token_ends_with_its_time(service: Service):
    now = int(time.time())
    assert mine(service, token_for(exp=now + 30)) == 200
    for exp in (now - 1, now - 60, 0, -1):
        answer = service.get("/reservations/my", token=token_for(iat=now - 90, exp=exp))
        check_error(answer, 401, "TOKEN_EXPIRED")


def test_a_token_that_was_good_ends_too(service: Service):
    token = token_for(exp=int(time.time()) + 2)
    assert mine(service, token) == 200
    check_soon(lambda: mine(service, token), 401, seconds=3)
    check_error(service.get("/reservations/my", token=token), 401, "TOKEN_EXPIRED")


def test_an_auth_service_whose_clock_is_ahead_is_believed(service: Service):
    now = int(time.time())
    assert mine(service, token_for(iat=now + 5, exp=now + 3600)) == 200


def test_a_token_without_optional_claims_is_good(service: Service):
    assert mine(service, token_for(iat=None, email=None)) == 200


@pytest.mark.parametrize(
    "wrong",
    [
        *each("userId", None, "", "abc", 5, [UUID], {}, True, UUID[:-1], f"{UUID}\0", f"{UUID}\n"),
        *each("userId", f"{{{UUID}}}", f"urn:uuid:{UUID}", UUID.replace("-", "")),
        *each("role", None, "", "root", "USER", 1, ["user"], {}),
        *each("exp", None, "soon", "9999999999", [], {}, float("nan"), float("inf")),
    ],
    ids=repr,
)
def test_a_token_with_a_wrong_claim_is_refused(service: Service, wrong: dict[str, Any]):
    answer = service.get("/reservations/my", token=signed(claims(**wrong)))
    check_error(answer, 401, "INVALID_TOKEN")


@pytest.mark.parametrize("name", ["userId", "role", "exp"])
def test_a_token_without_a_needed_claim_is_refused(service: Service, name: str):
    payload = {other: value for other, value in claims().items() if other != name}
    check_error(service.get("/reservations/my", token=signed(payload)), 401, "INVALID_TOKEN")


@pytest.mark.parametrize("payload", [[], None, "text", 5, {}], ids=repr)
def test_a_token_whose_payload_is_no_set_of_claims_is_refused(service: Service, payload: object):
    check_error(service.get("/reservations/my", token=signed(payload)), 401, "INVALID_TOKEN")


def test_an_rs256_instance_takes_only_what_the_private_key_signed(start_service: StartService):
    private = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
    public = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    service = start_service(JWT_ALGORITHM="RS256", JWT_PUBLIC_KEY=public.decode())

    def pem(key: rsa.RSAPrivateKey) -> bytes:
        return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    stranger = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
    assert mine(service, jwt.encode(claims(), pem(private), algorithm="RS256")) == 200
    for forged in (
        jwt.encode(claims(), pem(stranger), algorithm="RS256"),
        jwt.encode(claims(), pem(private), algorithm="RS512"),
        jwt.encode(claims(), "", algorithm="none"),
        signed(claims(), key=public.decode()),
        signed(claims(), key=public.decode(), header={"alg": "RS256"}),
        signed(claims()),
    ):
        check_error(service.get("/reservations/my", token=forged), 401, "INVALID_TOKEN")
    service.kill()
