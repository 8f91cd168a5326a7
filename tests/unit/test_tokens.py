"""The verifier of tokens by itself: no Flask, no server."""

import json
import os
import subprocess
import sys
import time
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from dev.workspace import ROOT
from tests.support.service import JWT_SECRET
from tests.support.tokens import UUID, claims, encoded, signed
from ticket_service.errors import InvalidToken, TokenExpired
from ticket_service.http.tokens import MAX_KEPT, Caller, TokenVerifier

LATER = 4_102_444_800  # 2100


@pytest.fixture
def verifier() -> TokenVerifier:
    return TokenVerifier(JWT_SECRET, "HS256")


def raw(payload: str) -> str:
    """A token around any text, signed as it should be."""
    token = signed(0)
    header = token.partition(".")[0]
    algorithm = jwt.get_algorithm_by_name("HS256")
    text = f"{header}.{encoded(payload.encode()).decode()}"
    signature = algorithm.sign(text.encode(), algorithm.prepare_key(JWT_SECRET))
    return f"{text}.{encoded(signature).decode()}"


def test_a_good_token_tells_whose_it_is_and_until_when(verifier: TokenVerifier):
    token = signed(claims(userId=UUID.upper(), role="admin", exp=LATER))
    for _ in range(2):  # the second time, from what is kept
        assert verifier.verify(token) == Caller(UUID, "admin", LATER)


@pytest.mark.parametrize(
    "token",
    [
        "",
        ".",
        "..",
        "a.b.c",
        "\ud800",
        "\xe9.\xff.\xfe",
        f"{signed(claims())}.{signed(claims())}",
        f" {signed(claims())}",
        f"{signed(claims())}\n",
        "x" * 1_000_000,
        encoded(b"[" * 5_000).decode() + ".e30.e30",
        raw("[" * 100_000),
        raw("{}{}"),
        raw(""),
        raw(json.dumps([claims()])),
        raw('"text"'),
        raw('{"exp": ' + "9" * 5_000 + "}"),
    ],
    ids=lambda token: repr(token[:20]),
)
def test_what_is_no_token_is_refused(verifier: TokenVerifier, token: str):
    for _ in range(2):
        with pytest.raises(InvalidToken):
            verifier.verify(token)


@pytest.mark.parametrize(
    "token",
    [
        signed(claims(), key="another secret, of which nobody here has ever heard"),
        signed(claims(), header={"alg": "HS512"}, hash="sha512"),
        signed(claims(), header={"alg": "none"}),
        signed(claims(), header={}),
        jwt.encode(claims(), "", algorithm="none"),
        signed(claims()).rsplit(".", 1)[0] + ".",
        signed(claims(), header={"alg": "HS256", "crit": ["exp"]}),
        signed(claims(), header={"alg": "HS256", "crit": ["b64"]}),
        signed(claims(), header={"alg": "HS256", "crit": []}),
        signed(claims(), header={"alg": "HS256", "crit": "b64"}),
        signed(claims(), header={"alg": "HS256", "b64": False}),
        signed(claims(), header={"alg": "HS256", "b64": False, "crit": ["b64"]}),
        signed(claims(), header={"alg": "HS256", "kid": ["../../dev/null"]}),
        signed(
            claims(),
            key="k" * 32,
            header={"alg": "HS256", "jwk": {"kty": "oct", "k": encoded(b"k" * 32).decode()}},
        ),
    ],
    ids=[
        "secret",
        "HS512",
        "none, signed",
        "no alg",
        "none",
        "cut",
        "crit, known",
        "crit, b64",
        "crit, empty",
        "crit, text",
        "b64",
        "b64, crit",
        "kid, list",
        "key of its own",
    ],
)
def test_a_forged_token_is_refused(verifier: TokenVerifier, token: str):
    with pytest.raises(InvalidToken):
        verifier.verify(token)


@pytest.mark.parametrize(
    "wrong",
    [
        {"type": "refresh"},
        {"iat": LATER},
        {"nbf": LATER},
        {"iat": "soon"},
        {"nbf": None},
        {"role": "root"},
        {"userId": UUID + "\n"},
        {"exp": None},
        {"exp": str(LATER)},
    ],
    ids=repr,
)
def test_a_wrong_claim_is_refused(verifier: TokenVerifier, wrong: dict[str, Any]):
    with pytest.raises(InvalidToken):
        verifier.verify(signed(claims(**wrong)))


@pytest.mark.parametrize("claim", ["iat", "nbf"])
def test_a_clock_that_is_a_little_ahead_is_believed(verifier: TokenVerifier, claim: str):
    verifier.verify(signed(claims(**{claim: int(time.time()) + 5})))


def test_a_token_for_some_audience_is_good(verifier: TokenVerifier):
    verifier.verify(signed(claims(aud="tickets", iss="auth")))


@pytest.mark.parametrize("ago", [0, 5, 60])
def test_a_token_ends_without_grace(verifier: TokenVerifier, ago: int):
    token = signed(claims(exp=int(time.time()) - ago))
    for _ in range(2):  # some are kept the first time: PyJWT has grace
        with pytest.raises(TokenExpired):
            verifier.verify(token)


def test_of_a_claim_that_is_there_twice_only_one_counts(verifier: TokenVerifier):
    payload = json.dumps(claims())[:-1]
    assert verifier.verify(raw(payload + ', "role": "admin"}')).role == "admin"
    with pytest.raises(TokenExpired):
        verifier.verify(raw(payload + ', "exp": 1}'))


def test_what_is_kept_has_an_end(verifier: TokenVerifier, monkeypatch: pytest.MonkeyPatch):
    good = claims()
    decoded: list[str] = []

    def decode(token: str) -> dict[str, Any]:
        decoded.append(token)
        return good

    monkeypatch.setattr(verifier, "decode", decode)
    for number in range(MAX_KEPT + 1):
        verifier.verify(str(number))
    verifier.verify(str(MAX_KEPT))
    assert len(decoded) == MAX_KEPT + 1
    verifier.verify("0")
    assert decoded[-1] == "0"


def test_for_hs256_a_public_key_is_refused_at_the_start():
    private = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
    pem = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    with pytest.raises(jwt.InvalidKeyError):
        TokenVerifier(pem.decode(), "HS256")


def test_for_rs256_a_public_key_is_no_secret():
    private = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
    pem = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    verifier = TokenVerifier(pem.decode(), "RS256")
    assert verifier.verify(jwt.encode(claims(), private, algorithm="RS256")).user_id == UUID
    for forged in (
        signed(claims(), key=pem.decode()),
        signed(claims(), key=pem.decode(), header={"alg": "RS256"}),
        jwt.encode(claims(), private, algorithm="PS256"),
        jwt.encode(claims(), "", algorithm="none"),
    ):
        with pytest.raises(InvalidToken):
            verifier.verify(forged)


def test_the_verifier_knows_no_flask():
    program = (
        "import sys, ticket_service.http.tokens;"
        "assert not {'flask', 'werkzeug', 'flask_jwt_extended'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT, env=dict(os.environ))
