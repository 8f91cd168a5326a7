"""Pieces of SQL that several reads share."""

from __future__ import annotations


def iso(column: str) -> str:
    """Return a TIMESTAMP column in the format of the API: ISO 8601 in UTC with milliseconds."""
    return f"""to_char({column}, 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')"""


def ended(reservation: str) -> str:
    """Return the condition that the hold of a row has expired, even if it is still `pending`.

    The time is that of the statement, so that all parts of an answer agree.
    """
    return (
        f"({reservation}.status = 'pending'"
        f" AND {reservation}.expires_at <= statement_timestamp() AT TIME ZONE 'UTC')"
    )


def expired(reservation: str) -> str:
    """Return the condition that a row is an expired hold, whether its row says so or not."""
    return f"(coalesce({ended(reservation)}, false) OR {reservation}.status = 'expired')"


def status(reservation: str) -> str:
    """Return the status of a row as clients see it: a hold that has expired is `cancelled`."""
    return f"CASE WHEN {expired(reservation)} THEN 'cancelled' ELSE {reservation}.status END"


def payment_status(reservation: str) -> str:
    """Return the payment status of a row as clients see it: `failed` if it was cancelled unpaid."""
    paid = f"{reservation}.payment_status"
    unpaid = f"{status(reservation)} = 'cancelled' AND {paid} = 'pending'"
    return f"CASE WHEN {unpaid} THEN 'failed' ELSE {paid} END"
