"""Reads what is for sale: events, ticket types, seat layouts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from cachetools import LRUCache

from ticket_service.errors import EventNotFound, TicketTypeNotFound
from ticket_service.services.sql import iso
from ticket_service.stores.coalescer import Coalescer
from ticket_service.stores.documents import Document, Documents
from ticket_service.stores.postgres import Postgres, SqlScript
from ticket_service.stores.schema_needs import SEARCHED

_EVENT_COLUMNS = f"""
    e.id, e.title, e.description, e.venue, e.address,
    {iso("e.event_date")} AS event_date,
    {iso("e.sale_start_date")} AS sale_start_date,
    {iso("e.sale_end_date")} AS sale_end_date,
    e.poster_image_url, e.status, e.artist_name,
    types.ticket_type_count,
    coalesce(types.min_price, of_seats.min_price) AS min_price,
    coalesce(types.max_price, of_seats.max_price) AS max_price
"""

# The seats are read only where there are no ticket types.
_PRICES = """
    CROSS JOIN LATERAL (
        SELECT count(*) AS ticket_type_count, min(price) AS min_price, max(price) AS max_price
        FROM ticket_types WHERE event_id = e.id
    ) types
    CROSS JOIN LATERAL (
        SELECT min(price) AS min_price, max(price) AS max_price
        FROM seats WHERE event_id = e.id AND types.ticket_type_count = 0
    ) of_seats
"""

# All that match are sorted and counted by two columns; only those on the page are read as a whole.
_PAGE_OF_MATCHING = f"""
    page AS (
        SELECT {_EVENT_COLUMNS}
        FROM (
            SELECT id FROM matching ORDER BY sale_start_date, id
            LIMIT %(limit)s::bigint OFFSET (%(page)s::bigint - 1) * %(limit)s
        ) on_page JOIN events e USING (id) {_PRICES}
        ORDER BY e.sale_start_date, e.id
    )
    SELECT json_build_object(
        'events', coalesce((SELECT json_agg(row_to_json(page)) FROM page), '[]'),
        'pagination', (
            SELECT json_build_object(
                'page', %(page)s::bigint, 'limit', %(limit)s::bigint, 'total', count(*),
                'totalPages', ceil(count(*) / %(limit)s::numeric)::int
            ) FROM matching
        )
    )::text
"""

_EVENT_LIST = SqlScript(
    event_list=f"""
    WITH matching AS (
        SELECT sale_start_date, id FROM events
        WHERE %(status)s::text IS NULL OR status = %(status)s
    ),
    {_PAGE_OF_MATCHING}
"""
)

# A word's twin is its translation in keyword_mappings. Up to three words of the query are replaced
# by their twins. A query that is a part of a word finds the twin too; it needs two letters, since
# one would match nearly everything. The limit of a hundred terms holds whatever the mappings are.
# The index yields the events that have all letters and pairs of letters of a term. If that is only
# one letter or pair, they match; of a longer term they may have the pairs in different places.
_EVENT_SEARCH = SqlScript(
    event_search=f"""
    WITH RECURSIVE twins AS (
        SELECT lower(korean) AS word, lower(english) AS twin FROM keyword_mappings
        UNION ALL SELECT lower(english), lower(korean) FROM keyword_mappings
    ),
    replaced (term, depth) AS (
        SELECT lower(%(q)s::text), 0
        UNION
        SELECT replace(term, word, twin), depth + 1 FROM replaced JOIN twins
        ON strpos(term, word) > 0 AND strpos(twin, word) = 0
        WHERE depth < 3
    ),
    terms AS (
        (SELECT term FROM replaced LIMIT 100)
        UNION SELECT twin FROM twins
              WHERE length(%(q)s) > 1 AND strpos(word, lower(%(q)s)) > 0
    ),
    matching AS (
        SELECT DISTINCT sale_start_date, id
        FROM terms JOIN events ON {SEARCHED} @> ticket_service_grams(term)
        WHERE (length(term) IN (1, 2)
               OR strpos(lower(title), term) > 0 OR strpos(lower(artist_name), term) > 0
               OR strpos(lower(venue), term) > 0 OR strpos(lower(address), term) > 0)
          AND (%(status)s::text IS NULL OR status = %(status)s)
    ),
    {_PAGE_OF_MATCHING}
"""
)

_TICKET_TYPES = """
    SELECT coalesce(json_agg(row_to_json(t)), '[]') FROM (
        SELECT id, name, price, total_quantity, available_quantity, description
        FROM ticket_types WHERE event_id = %(event_id)s
        ORDER BY price DESC, name, id
    ) t
"""

_EVENT = SqlScript(
    event=f"""
    SELECT json_build_object('event', row_to_json(event), 'ticketTypes', ({_TICKET_TYPES}))::text
    FROM (
        SELECT {_EVENT_COLUMNS}, e.seat_layout_id, {iso("e.created_at")} AS created_at,
               {iso("e.updated_at")} AS updated_at
        FROM events e {_PRICES}
        WHERE e.id = %(event_id)s
    ) event
"""
)

_EVENT_TICKET_TYPES = SqlScript(
    event_ticket_types=f"""
    SELECT json_build_object('ticketTypes', ({_TICKET_TYPES}))::text
    FROM events WHERE id = %(event_id)s
"""
)

_AVAILABILITY = SqlScript(
    availability="""
    SELECT json_build_object('available_quantity', available_quantity,
                             'total_quantity', total_quantity)::text
    FROM ticket_types WHERE id = %(ticket_type_id)s
"""
)

_EVENT_OF_TICKET_TYPE = SqlScript(
    event_of_ticket_type="SELECT event_id::text FROM ticket_types WHERE id = %(ticket_type_id)s"
)

_LAYOUTS = SqlScript(
    layouts="""
    SELECT json_build_object('layouts', coalesce(json_agg(row_to_json(l)), '[]'))::text FROM (
        SELECT id, name, description, total_seats, layout_config
        FROM seat_layouts ORDER BY total_seats, name
    ) l
"""
)


class EventQuery(NamedTuple):
    """Which events to list."""

    status: str | None
    """None means any."""
    q: str | None
    """Text to search for; None means no search."""
    page: int
    """From 1."""
    limit: int
    """Events on a page."""


class Catalogue:
    """Answers as documents (stores/documents.py). All methods raise ServiceUnavailable."""

    def __init__(self, postgres: Postgres, documents: Documents) -> None:
        self._postgres = postgres
        self._documents = documents
        self._event_of_ticket_type: LRUCache[str, str] = LRUCache(10_000)
        self._coalescer: Coalescer[str] = Coalescer()

    def must_search(self, query: EventQuery) -> bool:
        """Whether PostgreSQL must be searched to answer this query now."""
        return query.q is not None and not self._documents.has_list(query)

    def events(self, query: EventQuery) -> Document:
        """One page of the events, by start of sale.

        Lists and searches are groups of their own (stores/slots.py), as a search can take long: so
        they do not hold up other reads, nor searches the plain list.
        """
        parameters = {
            "status": query.status,
            "q": query.q,
            "page": query.page,
            "limit": query.limit,
        }
        script, group = _EVENT_LIST, "lists"
        if query.q is not None:
            script, group = _EVENT_SEARCH, "searches"
        return self._documents.read(query, lambda: self._json(script, parameters, group=group))

    def event(self, event_id: str) -> Document:
        """One event with its ticket types. Raises EventNotFound."""
        return self._about_event("event", _EVENT, event_id)

    def ticket_types(self, event_id: str) -> Document:
        """The ticket types of an event, by falling price. Raises EventNotFound."""
        return self._about_event("ticket-types", _EVENT_TICKET_TYPES, event_id)

    def availability(self, ticket_type_id: str) -> Document:
        """The stock of one ticket type. Raises TicketTypeNotFound."""
        return self._documents.read(
            ("availability", ticket_type_id),
            lambda: self._json(
                _AVAILABILITY, {"ticket_type_id": ticket_type_id}, missing=TicketTypeNotFound
            ),
            event_id=self._event_of(ticket_type_id),
        )

    def layouts(self) -> Document:
        """The seat layouts, by rising number of seats."""
        return self._documents.read("layouts", lambda: self._json(_LAYOUTS, {}))

    def _about_event(self, kind: str, query: SqlScript, event_id: str) -> Document:
        return self._documents.read(
            (kind, event_id),
            lambda: self._json(query, {"event_id": event_id}, missing=EventNotFound),
            event_id=event_id,
        )

    def _json(
        self,
        query: SqlScript,
        parameters: Mapping[str, object],
        missing: type[EventNotFound | TicketTypeNotFound] = EventNotFound,
        group: str | None = None,
    ) -> bytes:
        rows = self._postgres.transaction(query, parameters, group=group)
        if not rows:
            raise missing
        text: str = rows[0][0]
        return text.encode()

    def _event_of(self, ticket_type_id: str) -> str:
        """The event of a ticket type, cached since it never changes."""
        event_id = self._event_of_ticket_type.get(ticket_type_id)
        if event_id is None:
            event_id = self._coalescer.run(ticket_type_id, lambda: self._find_event(ticket_type_id))
            self._event_of_ticket_type[ticket_type_id] = event_id
        return event_id

    def _find_event(self, ticket_type_id: str) -> str:
        rows = self._postgres.transaction(_EVENT_OF_TICKET_TYPE, {"ticket_type_id": ticket_type_id})
        if not rows:
            raise TicketTypeNotFound
        event_id: str = rows[0][0]
        return event_id
