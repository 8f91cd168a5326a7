"""Finds what may never be in a log: tokens, secrets, passwords, cookies and e-mail addresses."""

import re
from collections.abc import Mapping
from urllib.parse import urlsplit

NAMED = ("JWT_SECRET", "INTERNAL_API_TOKEN", "DB_PASSWORD", "REDIS_PASSWORD")
"""Settings that are secrets."""

URLS = ("DATABASE_URL", "REDIS_URL")
"""Settings that may have a password in them."""

SHAPES = (
    r"eyJ[\w-]{6}",  # a token: {" in base64
    r"(?i:bearer)(?: |%20|\+)[\w-]{8}",
    r"(?i:authorization|x-internal-token|cookie)\\?[\"']?\s*[:=,]\s*\\?[\"']?\w",
    r"(?i:password|passwd)\\?[\"']?\s*[:=]\s*\\?[\"']?\w",
    r"://[^/\s:@\"]*:[^@\s\"]+@",  # a URL with a password
    r"[\w.+-]@[\w-]+\.[a-zA-Z]{1,10}",  # an e-mail address
)
"""What secrets look like."""


def secrets_in(log: str, settings: Mapping[str, str]) -> list[str]:
    """Return the lines of a log that have a secret in them. `settings`: those of its instance."""
    values = [settings.get(name, "") for name in NAMED]
    values += [urlsplit(settings.get(name, "")).password or "" for name in URLS]
    shapes = [*SHAPES, *(re.escape(value) for value in values if len(value) >= 4)]
    secret = re.compile("|".join(shapes))
    return [line for line in log.splitlines() if secret.search(line)]
