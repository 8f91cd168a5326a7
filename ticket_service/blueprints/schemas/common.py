"""Schemas that several resources share."""

from __future__ import annotations

from marshmallow import EXCLUDE, Schema, fields, validate

from ticket_service.http.fields import QueryNumber


class Page(Schema):
    """`page` and `limit` in a query string."""

    class Meta:
        unknown = EXCLUDE  # a link may have the parameters of a campaign

    page = QueryNumber(
        load_default=1,
        validate=validate.Range(min=1, max=QueryNumber.MAX),
        metadata={"sentence": {"message": "BAD_PAGE", "limit": f"{QueryNumber.MAX:,}"}},
    )
    limit = QueryNumber(load_default=10, validate=validate.Range(min=1, max=100))


class Money(fields.Integer):
    """An amount in won."""

    def __init__(self) -> None:
        super().__init__(metadata={"description": "won"})


class Time(fields.String):
    """A moment: ISO 8601 in UTC with milliseconds."""

    def __init__(self, *, allow_none: bool = False, **metadata: str) -> None:
        super().__init__(
            allow_none=allow_none,
            metadata={"format": "date-time", "example": "2026-11-22T13:00:00.000Z", **metadata},
        )


class IdempotencyHeader(Schema):
    """The header that makes a POST safe to repeat."""

    class Meta:
        unknown = EXCLUDE

    idempotency_key = fields.String(
        data_key="Idempotency-Key",
        validate=validate.Regexp(r"^[!-~]{1,255}$", error="1 to 255 printable characters."),
        metadata={
            "description": "Up to 255 printable characters without spaces, new for each"
            " reservation. A repeat returns the first reservation and makes no other; a repeat"
            " with other contents: 409."
        },
    )
