"""The settings, read from the environment and checked once, at start."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network
from urllib.parse import quote

from cryptography.hazmat.primitives.serialization import load_pem_public_key
from environs import Env
from limits import RateLimitItem, parse
from marshmallow.validate import OneOf, Range, Regexp

DEFAULT_PORT = 3002

PORTS = Range(min=1, max=65_535)

THRESHOLDS = Range(min=1, max=10_000_000)
"""People inside a waiting room at once. To let nobody in, pause it."""

MIN_SECRET_BYTES = 32
"""HS256 wants a key at least as long as its hash (RFC 7518, section 3.2)."""

MIN_SERVICE_TOKEN = 32
"""Characters of INTERNAL_API_TOKEN in production."""


MIN_LIMIT = 2
"""The lowest limit. Instances are not told of counters that were hit once (lua/count_hits.lua)."""

MAX_LIMIT_SECONDS = 3_600
"""The longest time that a limit may count over. Counters of everybody are kept for so long."""

Networks = tuple[IPv4Network | IPv6Network, ...]


class ConfigError(Exception):
    """A setting is missing or bad. The message names it and says why."""


@dataclass(frozen=True, slots=True)
class LimitSettings:
    """How often a person or an address may do what costs. None: as often as they want."""

    holds_per_person: RateLimitItem | None
    sockets_per_person: RateLimitItem | None
    sockets_per_address: RateLimitItem | None
    bad_tokens_per_address: RateLimitItem | None
    searches_per_address: RateLimitItem | None


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of an instance. `.env.example` documents them."""

    production: bool
    host: str
    port: int
    admin_port: int | None
    database_url: str
    db_schema: str
    db_pool_size: int
    run_migrations: bool
    redis_url: str
    jwt_algorithm: str
    jwt_key: str
    service_token: str
    frontend_urls: tuple[str, ...]
    hold_ttl_seconds: int
    max_seats_per_reservation: int
    max_tickets_per_reservation: int
    max_live_tickets_per_buyer: int
    queue_threshold: int
    queue_ttl_seconds: int
    queue_no_show_seconds: int
    queue_max_stay_seconds: int
    queue_return_seconds: int
    queue_relay_channel: str
    update_seconds: float
    socket_aliases: bool
    drain_seconds: float
    sell_without_waiting_room: bool
    limits: LimitSettings
    trusted_proxies: Networks
    log_level: str

    @classmethod
    def from_environment(cls) -> Settings:
        """Read and check the environment. Raises ConfigError."""
        try:
            return _read(Env())
        except ConfigError:
            raise
        except Exception as error:  # environs raises its own and marshmallow's kinds
            raise ConfigError(str(error)) from error


def _read(env: Env) -> Settings:
    production = env.str("ENVIRONMENT", "production", validate=OneOf(["production", "development"]))
    algorithm = env.str("JWT_ALGORITHM", "HS256", validate=OneOf(["HS256", "RS256"]))
    return Settings(
        production=production == "production",
        host=env.str("HOST", "0.0.0.0"),  # noqa: S104 # in a container
        port=(port := env.int("PORT", DEFAULT_PORT, validate=PORTS)),
        admin_port=_admin_port(env, port),
        database_url=env.str("DATABASE_URL", "", validate=Regexp(r"^(postgres(ql)?://|\Z)"))
        or _database_url(env),
        db_schema=env.str("DB_SCHEMA", "public", validate=Regexp(r"^[a-z_][a-z0-9_]{0,62}\Z")),
        db_pool_size=_whole(env, "DB_POOL_SIZE", 8, 1, 100),
        run_migrations=env.bool("RUN_MIGRATIONS", True),
        redis_url=env.str("REDIS_URL", "", validate=Regexp(r"^((rediss?|unix)://|\Z)"))
        or _redis_url(env),
        jwt_algorithm=algorithm,
        jwt_key=_jwt_key(env, algorithm, strict=production == "production"),
        service_token=_service_token(env, strict=production == "production"),
        frontend_urls=_frontend_urls(env),
        hold_ttl_seconds=_whole(env, "HOLD_TTL_SECONDS", 300, 1, 86_400),
        max_seats_per_reservation=_whole(env, "MAX_SEATS_PER_RESERVATION", 4, 1, 100),
        max_tickets_per_reservation=_whole(env, "MAX_TICKETS_PER_RESERVATION", 10, 1, 1000),
        max_live_tickets_per_buyer=_whole(env, "MAX_LIVE_TICKETS_PER_BUYER", 10, 1, 1_000_000),
        queue_threshold=env.int("QUEUE_THRESHOLD", 1000, validate=THRESHOLDS),
        queue_ttl_seconds=_whole(env, "QUEUE_TTL_SECONDS", 300, 1, 86_400),
        queue_no_show_seconds=_whole(env, "QUEUE_NO_SHOW_SECONDS", 60, 1, 86_400),
        queue_max_stay_seconds=_whole(env, "QUEUE_MAX_STAY_SECONDS", 900, 1, 86_400),
        queue_return_seconds=_whole(env, "QUEUE_RETURN_SECONDS", 20, 0, 3_600),
        queue_relay_channel=env.str("QUEUE_RELAY_CHANNEL", "", validate=Regexp(r"^(?!ticket:)")),
        update_seconds=env.float("UPDATE_SECONDS", 1.0, validate=Range(min=0.1, max=60)),
        socket_aliases=env.bool("SOCKET_ALIASES", True),
        drain_seconds=env.float("DRAIN_SECONDS", 3.0, validate=Range(min=0, max=10)),
        sell_without_waiting_room=env.bool("SELL_WITHOUT_WAITING_ROOM", True),
        limits=_limits(env),
        trusted_proxies=_trusted_proxies(env),
        log_level=env.str(
            "LOG_LEVEL", "INFO", validate=OneOf(["DEBUG", "INFO", "WARNING", "ERROR"])
        ),
    )


def _whole(env: Env, name: str, default: int, least: int, most: int) -> int:
    number: int = env.int(name, default, validate=Range(min=least, max=most))
    return number


def _limits(env: Env) -> LimitSettings:
    return LimitSettings(
        holds_per_person=_limit(env, "HOLDS_PER_PERSON", "60/minute"),
        sockets_per_person=_limit(env, "SOCKETS_PER_PERSON", "600/minute"),
        sockets_per_address=_limit(env, "SOCKETS_PER_ADDRESS", "30000/minute"),
        bad_tokens_per_address=_limit(env, "BAD_TOKENS_PER_ADDRESS", "6000/minute"),
        searches_per_address=_limit(env, "SEARCHES_PER_ADDRESS", "3000/minute"),
    )


def _limit(env: Env, name: str, default: str) -> RateLimitItem | None:
    """One limit, in the words of the library `limits`: `60/minute`, `10 per 2 seconds`."""
    text: str = env.str(name, default)
    if not text.strip():
        return None
    limit: RateLimitItem | None
    try:
        limit = None if re.search("[,;|]", text) else parse(text)  # which reads only the first
    except ValueError:
        limit = None
    if not limit or limit.amount < MIN_LIMIT or limit.get_expiry() > MAX_LIMIT_SECONDS:
        raise ConfigError(
            f"{name} is no limit: write it like 60/minute or 10 per 2 seconds, at least"
            f" {MIN_LIMIT} over at most an hour, or leave it empty for no limit"
        )
    return limit


def _trusted_proxies(env: Env) -> Networks:
    """The networks whose X-Forwarded-For is believed. Not everybody's."""
    given: list[str] = env.list("TRUSTED_PROXIES", [])
    try:
        networks = tuple(ip_network(text.strip()) for text in given)
    except ValueError as error:
        raise ConfigError(
            "TRUSTED_PROXIES must be addresses and networks like 10.0.0.0/8, separated by commas:"
            f" {error}"
        ) from error
    if any(network.prefixlen == 0 for network in networks):
        raise ConfigError("TRUSTED_PROXIES has everybody in it: name the proxies alone")
    return networks


def _frontend_urls(env: Env) -> tuple[str, ...]:
    """FRONTEND_URL; where that is not set SOCKET_IO_CORS_ORIGIN, as today's deployments have it."""
    named = env.list("SOCKET_IO_CORS_ORIGIN", []) or ["http://localhost:3000"]
    given = (url.strip().rstrip("/") for url in env.list("FRONTEND_URL", named))
    urls = tuple(url for url in given if url)
    if not urls:  # the Socket.IO server would allow any origin
        raise ConfigError("FRONTEND_URL is empty: name the origins that browsers may call from")
    return urls


def _admin_port(env: Env, port: int) -> int | None:
    if not env.str("ADMIN_PORT", ""):
        return None
    admin_port: int = env.int("ADMIN_PORT", validate=PORTS)
    if admin_port == port:
        raise ConfigError("ADMIN_PORT is the same as PORT: name another, or none")
    return admin_port


def _service_token(env: Env, *, strict: bool) -> str:
    token: str = env.str("INTERNAL_API_TOKEN", "")
    if strict and token and len(token) < MIN_SERVICE_TOKEN:
        raise ConfigError(
            f"INTERNAL_API_TOKEN is too short for production: at least {MIN_SERVICE_TOKEN}"
            " characters, or none at all; set ENVIRONMENT=development to run with it on your own"
            " machine"
        )
    return token


def _database_url(env: Env) -> str:
    user = quote(env.str("DB_USER", "postgres"), safe="")
    password = quote(env.str("DB_PASSWORD", ""), safe="")
    host = quote(env.str("DB_HOST", "localhost"), safe="")
    name = quote(env.str("DB_NAME", "postgres"), safe="")
    port = env.int("DB_PORT", 5432, validate=PORTS)
    return f"postgresql://{user}:{password}@{host}:{port}/{name}"


def _redis_url(env: Env) -> str:
    password = quote(env.str("REDIS_PASSWORD", ""), safe="")
    credentials = f":{password}@" if password else ""
    host = env.str("REDIS_HOST", "localhost")
    port = env.int("REDIS_PORT", 6379, validate=PORTS)
    return f"redis://{credentials}{host}:{port}/0"


def _jwt_key(env: Env, algorithm: str, *, strict: bool) -> str:
    if algorithm == "RS256":
        key: str = env.str("JWT_PUBLIC_KEY", "").replace("\\n", "\n")
        try:
            load_pem_public_key(key.encode())
        except ValueError as error:
            problem = "JWT_PUBLIC_KEY must be a PEM public key when JWT_ALGORITHM is RS256"
            raise ConfigError(problem) from error
        return key
    secret: str = env.str("JWT_SECRET", "")
    if not secret:
        raise ConfigError("JWT_SECRET is missing: set it to the Auth Service's secret")
    repeats = secret in (secret + secret)[1:-1]
    if strict and (len(secret.encode()) < MIN_SECRET_BYTES or repeats):
        raise ConfigError(
            f"JWT_SECRET is too weak for production: at least {MIN_SECRET_BYTES} bytes, not a"
            " repetition; set ENVIRONMENT=development to run with it on your own machine"
        )
    return secret
