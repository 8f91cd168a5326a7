"""Fields that are stricter than marshmallow's own: a wrong type is refused, never converted."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from marshmallow import ValidationError, fields

UUID_PATTERN = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")

ID_DESCRIPTION = {"format": "uuid", "pattern": f"^{UUID_PATTERN.pattern}$"}
"""A UUID in OpenAPI. The format alone would allow other notations."""


class Id(fields.String):
    """A UUID in its usual form with hyphens, loaded in lower case."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("metadata", ID_DESCRIPTION)
        super().__init__(**kwargs)

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> str:
        if not isinstance(value, str) or not UUID_PATTERN.fullmatch(value):
            raise ValidationError("Not a valid UUID.")
        return value.lower()


class WholeNumber(fields.Integer):
    """A JSON number without a fraction: not `true`, not `"1"`, not `1.0`."""

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> int:
        if type(value) is not int:
            raise ValidationError("Not a whole number.")
        return value


class Flag(fields.Boolean):
    """A JSON `true` or `false`: not `1`, not `"yes"`."""

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> bool:
        if type(value) is not bool:
            raise ValidationError("Not true or false.")
        return value


class QueryNumber(fields.Integer):
    """A whole number in a query string: digits only, at most nine of them."""

    MAX = 999_999_999

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> int:
        if not re.fullmatch(r"[0-9]{1,9}", str(value)):
            raise ValidationError("Not a whole number.")
        return int(value)


class Text(fields.String):
    """Text that PostgreSQL can store: no NUL. It is loaded without the spaces around it."""

    def __init__(self, *, metadata: Mapping[str, Any] | None = None, **kwargs: Any) -> None:
        super().__init__(metadata={"pattern": r"^[^\x00]*$", **(metadata or {})}, **kwargs)

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> str:
        text: str = super()._deserialize(value, attr, data, **kwargs)
        if "\0" in text:
            raise ValidationError("NUL characters are not allowed.")
        return text.strip()
