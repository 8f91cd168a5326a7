"""Pieces of SQL that several reads share."""

from __future__ import annotations


def iso(column: str) -> str:
    """A TIMESTAMP column as the wire shows it: ISO 8601, milliseconds, Z."""
    return f"""to_char({column}, 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')"""


def ended(reservation: str) -> str:
    """Whether the row's hold has run out unpaid, whatever its status still says.

    The time is that of the statement, so that all that one answer says of it is of one moment.
    """
    return (
        f"({reservation}.status = 'pending'"
        f" AND {reservation}.expires_at <= statement_timestamp() AT TIME ZONE 'UTC')"
    )


def status(reservation: str) -> str:
    """The row's status as people should see it: an ended hold is expired."""
    return f"CASE WHEN {ended(reservation)} THEN 'expired' ELSE {reservation}.status END"
