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


def status(reservation: str) -> str:
    """Return the status of a row as clients see it: `expired` as soon as the hold has expired."""
    return f"CASE WHEN {ended(reservation)} THEN 'expired' ELSE {reservation}.status END"
