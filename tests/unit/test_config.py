"""The settings: what the environment may say, and what happens when it says something wrong."""

import os
import re

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from psycopg2.extensions import parse_dsn
from redis.connection import parse_url

from dev.workspace import ROOT
from ticket_service.config import ConfigError, Settings

SECRET = "0123456789abcdef0123456789ABCDEF"
STRANGE = "p@s:s/w?o#r%d& +=é'\""


def settings(**environment: str) -> Settings:
    """The settings from this environment and nothing else; production unless it says otherwise."""
    with pytest.MonkeyPatch.context() as patch:
        for name in set(os.environ):
            patch.delenv(name)
        for name, value in {"JWT_SECRET": SECRET, **environment}.items():
            patch.setenv(name, value)
        return Settings.from_environment()


def refusal(**environment: str) -> str:
    with pytest.raises(ConfigError) as refused:
        settings(**environment)
    return str(refused.value)


def public_key() -> str:
    key = rsa.generate_private_key(public_exponent=65_537, key_size=2048).public_key()
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def test_the_defaults():
    given = settings()
    assert given.production
    assert given.jwt_algorithm == "HS256"
    assert given.jwt_key == SECRET
    assert given.db_schema == "public"
    assert given.run_migrations
    assert given.frontend_urls == ("http://localhost:3000",)
    assert parse_dsn(given.database_url)["port"] == "5432"
    assert parse_url(given.redis_url) == {"host": "localhost", "port": 6379, "db": 0}
    assert given.queue_max_stay_seconds == 900
    assert given.queue_return_seconds == 20
    assert given.queue_relay_channel == ""


def test_the_deployments_environment_works_as_it_is():
    given = settings(
        PORT="3002",
        DB_HOST="db.example",
        DB_PORT="6432",
        DB_NAME="tickets",
        DB_USER="ticket@user",
        DB_PASSWORD=STRANGE,
        REDIS_HOST="redis.example",
        REDIS_PORT="6380",
        REDIS_PASSWORD=STRANGE,
        FRONTEND_URL="https://tickets.example",
        AUTH_SERVICE_URL="http://auth:3001",
        INTERNAL_API_TOKEN=SECRET,
    )
    assert parse_dsn(given.database_url) == {
        "host": "db.example",
        "port": "6432",
        "dbname": "tickets",
        "user": "ticket@user",
        "password": STRANGE,
    }
    redis = parse_url(given.redis_url)
    assert (redis["host"], redis["port"], redis["password"]) == ("redis.example", 6380, STRANGE)
    assert given.frontend_urls == ("https://tickets.example",)


def test_several_database_hosts():
    url = "postgresql://me:word@db-1:5432,db-2:6432/tickets"
    assert settings(DATABASE_URL=url).database_url == url
    given = parse_dsn(settings(DB_HOST="db-1,db-2", DB_PORT="6432").database_url)
    assert (given["host"], given["port"]) == ("db-1,db-2", "6432")


def test_urls_win():
    database, redis = "postgresql://me:word@here:1/db?sslmode=require", "rediss://:word@there:2/3"
    given = settings(DATABASE_URL=database, DB_HOST="other", REDIS_URL=redis, REDIS_HOST="other")
    assert (given.database_url, given.redis_url) == (database, redis)


def test_empty_urls_and_an_empty_redis_password_are_as_good_as_none():
    given = settings(DATABASE_URL="", DB_HOST="here", REDIS_URL="", REDIS_PASSWORD="")
    assert parse_dsn(given.database_url)["host"] == "here"
    assert "password" not in parse_url(given.redis_url)


@pytest.mark.parametrize(
    "text", ["https://a.example,http://b:3000", " https://a.example/ , http://b:3000/,"]
)
def test_several_front_ends(text: str):
    assert settings(FRONTEND_URL=text).frontend_urls == ("https://a.example", "http://b:3000")
    assert settings(SOCKET_IO_CORS_ORIGIN=text).frontend_urls == (
        "https://a.example",
        "http://b:3000",
    )


def test_the_front_end_may_be_named_as_the_deployments_of_today_do():
    today = {"SOCKET_IO_CORS_ORIGIN": "https://today.example"}
    both = settings(FRONTEND_URL="https://a.example", **today)
    assert both.frontend_urls == ("https://a.example",)
    assert settings(SOCKET_IO_CORS_ORIGIN="").frontend_urls == ("http://localhost:3000",)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ENVIRONMENT", "staging"),
        ("DATABASE_URL", "mysql://db/tickets"),
        ("DB_PORT", "tcp://10.0.0.1:5432"),
        ("DB_PORT", "0"),
        ("DB_PORT", "65536"),
        ("DB_SCHEMA", "ticket schema"),
        ("DB_SCHEMA", "public,other"),
        ("DB_POOL_SIZE", "0"),
        ("DB_POOL_SIZE", "eight"),
        ("RUN_MIGRATIONS", "perhaps"),
        ("REDIS_URL", "redis.example:6379"),
        ("REDIS_PORT", "tcp://10.0.0.1:6379"),
        ("REDIS_PORT", "65536"),
        ("JWT_ALGORITHM", "none"),
        ("JWT_SECRET", ""),
        ("HOLD_TTL_SECONDS", "0"),
        ("HOLD_TTL_SECONDS", "5m"),
        ("MAX_SEATS_PER_RESERVATION", "0"),
        ("MAX_TICKETS_PER_RESERVATION", "-1"),
        ("MAX_LIVE_TICKETS_PER_BUYER", "many"),
        ("QUEUE_MAX_STAY_SECONDS", "0"),
        ("QUEUE_MAX_STAY_SECONDS", "86401"),
        ("QUEUE_MAX_STAY_SECONDS", "15m"),
        ("QUEUE_RELAY_CHANNEL", "ticket:bus"),
        ("QUEUE_RETURN_SECONDS", "-1"),
        ("QUEUE_RETURN_SECONDS", "3601"),
        ("HOLDS_PER_PERSON", "60"),
        ("HOLDS_PER_PERSON", "many/minute"),
        ("HOLDS_PER_PERSON", "0/minute"),
        ("HOLDS_PER_PERSON", "1/minute"),
        ("HOLDS_PER_PERSON", "-1/minute"),
        ("SOCKETS_PER_PERSON", "60/fortnight"),
        ("SOCKETS_PER_ADDRESS", "60/day"),
        ("SOCKETS_PER_ADDRESS", "60/2 hours"),
        ("BAD_TOKENS_PER_ADDRESS", "5/second; 60/minute"),
        ("SEARCHES_PER_ADDRESS", "5/second, 60/minute"),
        ("TRUSTED_PROXIES", "proxy.example"),
        ("TRUSTED_PROXIES", "10.0.0.1/8"),  # is 10.0.0.0/8 meant, or the one proxy?
        ("TRUSTED_PROXIES", "10.0.0.0/8,,192.0.2.7"),
        ("TRUSTED_PROXIES", "10.0.0.0/8 192.0.2.7"),
        ("TRUSTED_PROXIES", "*"),
        ("TRUSTED_PROXIES", "10.0.0.0/8,0.0.0.0/0"),
        ("TRUSTED_PROXIES", "::/0"),
        ("LOG_LEVEL", "LOUD"),
        ("ADMIN_PORT", "0"),
        ("ADMIN_PORT", "metrics"),
        ("ADMIN_PORT", "3002"),  # is PORT
        ("INTERNAL_API_TOKEN", SECRET[:31]),
    ],
)
def test_a_bad_value_is_refused_by_name(name: str, value: str):
    assert name in refusal(**{name: value})


@pytest.mark.parametrize(
    "secret",
    ["", SECRET[:31], "a" * 64, "0123" * 16, "12345678" * 8, "change-this-secret-" * 4],
    ids=["missing", "short", "one letter", "four digits", "eight digits", "a repeated phrase"],
)
def test_production_refuses_a_weak_secret_and_does_not_repeat_it(secret: str):
    message = refusal(JWT_SECRET=secret)
    assert "JWT_SECRET" in message
    assert not secret or secret not in message


def test_a_secret_is_as_long_as_its_bytes():
    assert settings(JWT_SECRET="비밀번호는길고섞여야해").jwt_key


def test_development_accepts_a_short_secret_but_not_none():
    assert settings(ENVIRONMENT="development", JWT_SECRET="short").jwt_key == "short"
    assert "JWT_SECRET" in refusal(ENVIRONMENT="development", JWT_SECRET="")


def test_the_service_token_is_none_or_long_in_production():
    assert settings().service_token == ""
    assert settings(INTERNAL_API_TOKEN=SECRET).service_token == SECRET
    assert SECRET[:31] not in refusal(INTERNAL_API_TOKEN=SECRET[:31])
    short = settings(ENVIRONMENT="development", INTERNAL_API_TOKEN="short")
    assert short.service_token == "short"


def test_the_admin_port_is_none_unless_named():
    assert settings().admin_port is None
    assert settings(ADMIN_PORT="").admin_port is None
    assert settings(ADMIN_PORT="9000").admin_port == 9000


@pytest.mark.parametrize(
    ("text", "amount", "seconds"),
    [
        ("60/minute", 60, 60),
        ("10 per 2 seconds", 10, 2),
        ("10/2seconds", 10, 2),
        (" 1000 / hour ", 1000, 3600),
        ("5/60 minutes", 5, 3600),
    ],
)
def test_a_limit_is_a_number_and_a_time(text: str, amount: int, seconds: int):
    limit = settings(HOLDS_PER_PERSON=text).limits.holds_per_person
    assert limit is not None
    assert (limit.amount, limit.get_expiry()) == (amount, seconds)


def test_an_empty_limit_is_none():
    given = settings(HOLDS_PER_PERSON="", SEARCHES_PER_ADDRESS=" ").limits
    assert given.holds_per_person is None
    assert given.searches_per_address is None
    assert given.bad_tokens_per_address is not None


def test_trusted_proxies_are_addresses_and_networks():
    assert settings().trusted_proxies == ()
    assert settings(TRUSTED_PROXIES="").trusted_proxies == ()
    given = settings(TRUSTED_PROXIES="10.0.0.0/8, 192.0.2.7 ,2400:cb00::/32").trusted_proxies
    assert [str(network) for network in given] == ["10.0.0.0/8", "192.0.2.7/32", "2400:cb00::/32"]


def test_rs256_needs_no_secret_but_a_public_key():
    key = public_key()
    for written in (key, key.replace("\n", "\\n")):
        given = settings(JWT_SECRET="", JWT_ALGORITHM="RS256", JWT_PUBLIC_KEY=written)
        assert (given.jwt_algorithm, given.jwt_key) == ("RS256", key)


@pytest.mark.parametrize(
    "key",
    ["", SECRET, "-----BEGIN PUBLIC KEY-----\nnonsense\n-----END PUBLIC KEY-----\n"],
    ids=["missing", "a secret", "nonsense"],
)
def test_rs256_refuses_what_is_no_public_key(key: str):
    assert "JWT_PUBLIC_KEY" in refusal(JWT_ALGORITHM="RS256", JWT_PUBLIC_KEY=key)


def test_the_example_names_exactly_what_the_code_reads():
    config = (ROOT / "ticket_service" / "config.py").read_text()
    server = (ROOT / "gunicorn.conf.py").read_text()
    read = re.findall(r"\benv(?:\.\w+\(|,)\s*['\"]([A-Z_]+)", config)
    read += re.findall(r"\benviron\.get\(['\"]([A-Z_]+)", server)
    example = (ROOT / ".env.example").read_text()
    assert set(re.findall(r"^(?:# ?)?([A-Z_]+)=", example, re.MULTILINE)) == set(read)


def test_the_example_cannot_start_production():
    example = (ROOT / ".env.example").read_text()
    [secret] = re.findall(r"^(?:# ?)?JWT_SECRET=(.*)$", example, re.MULTILINE)
    assert "JWT_SECRET" in refusal(JWT_SECRET=secret)
