-- Hold tickets of some types of an event for a buyer: all of them, or none.
--
-- Parameters
--   buyer_id            uuid    the buyer
--   event_id            uuid    the event of the tickets
--   ticket_type_ids     uuid[]  the types, each once
--   quantities          int[]   how many of each, in the same order
--   reservation_id      uuid    of the new reservation; the repeat of a request has the same one
--   reservation_number  text    of the new reservation, as people see it
--   hold_ttl            float   seconds until the hold expires
--   limit               int     seats and tickets that a buyer may have of an event at once
--   max_amount          int     the largest total, in won
--
-- Locks, in this order
--   1. the buyer (advisory), so that their limit is checked by one request at a time
--   2. the ticket types, by id, waiting for each; but none for a repeat
--
-- Verdicts, the first that applies
--   REPEATED               there is a reservation with this id
--   EVENT_NOT_FOUND        there is no such event
--   TICKET_TYPE_NOT_FOUND  not all of the types belong to this event
--   SALE_NOT_OPEN          the sale has not begun or is over, or the event is cancelled
--   TICKETS_SOLD_OUT       too few are left of a type
--   LIMIT_EXCEEDED         the buyer would have more than the limit
--   AMOUNT_TOO_LARGE       the total would be too large
--   ACCEPTED               the reservation is written, and the tickets are taken from the stock
--
-- Returns one row
--   verdict       text    see above
--   sold_out      text[]  names of the types of which too few are left; NULL if none
--   event_title   text    NULL if there is no such event
--   total_amount  int     in won; NULL unless ACCEPTED
--   expires_at    text    when the hold expires, ISO 8601 in UTC; NULL unless ACCEPTED
--   items         json    the lines in the order requested, in the shape of the API

-- name: lock_buyer
SELECT pg_advisory_xact_lock(
    hashtextextended('ticket-service:buyer:' || :'buyer_id'::uuid::text, 0)
);

-- name: lock_ticket_types
-- A repeat does not wait for a row that everybody wants. (Nobody deletes reservations, so the next
-- statement sees the same one.)
SELECT id FROM ticket_types
WHERE event_id = :'event_id'::uuid AND id = ANY (:'ticket_type_ids'::uuid[])
  AND NOT EXISTS (SELECT FROM reservations WHERE id = :'reservation_id'::uuid)
ORDER BY id FOR UPDATE;

-- name: hold_tickets
-- clock_timestamp() and not now(), which is when the transaction began: before it waited for locks.
WITH clock AS (SELECT clock_timestamp() AT TIME ZONE 'UTC' AS now),
event AS (
    SELECT title,
           status NOT IN ('cancelled', 'ended')
               AND now >= sale_start_date AND now < sale_end_date AS on_sale
    FROM events, clock
    WHERE id = :'event_id'::uuid
),
earlier AS (SELECT FROM reservations WHERE id = :'reservation_id'::uuid),
live AS ( -- what the buyer has of this event already
    SELECT coalesce(sum(i.quantity), 0) AS quantity
    FROM clock, reservations r JOIN reservation_items i ON i.reservation_id = r.id
    WHERE r.user_id = :'buyer_id'::uuid AND r.event_id = :'event_id'::uuid
      AND (r.status = 'confirmed' OR r.status = 'pending' AND r.expires_at > now)
),
lines AS (
    SELECT t.id, t.name, t.price, t.available_quantity, wanted.quantity,
           t.price::bigint * wanted.quantity AS subtotal, wanted.position
    FROM unnest(:'ticket_type_ids'::uuid[], :'quantities'::int[])
         WITH ORDINALITY AS wanted (ticket_type_id, quantity, position)
    JOIN ticket_types t ON t.id = wanted.ticket_type_id AND t.event_id = :'event_id'::uuid
),
verdict AS (
    SELECT CASE
        WHEN EXISTS (SELECT FROM earlier) THEN 'REPEATED'
        WHEN NOT EXISTS (SELECT FROM event) THEN 'EVENT_NOT_FOUND'
        WHEN count(*) < cardinality(:'ticket_type_ids'::uuid[]) THEN 'TICKET_TYPE_NOT_FOUND'
        WHEN NOT (SELECT on_sale FROM event) THEN 'SALE_NOT_OPEN'
        WHEN bool_or(available_quantity < quantity) THEN 'TICKETS_SOLD_OUT'
        WHEN sum(quantity) + (SELECT quantity FROM live) > :'limit'::int THEN 'LIMIT_EXCEEDED'
        WHEN sum(subtotal) > :'max_amount'::int THEN 'AMOUNT_TOO_LARGE'
        ELSE 'ACCEPTED'
    END AS code, sum(subtotal) AS amount
    FROM lines
),
reservation AS (
    INSERT INTO reservations (id, user_id, event_id, reservation_number, total_amount, status,
                              payment_status, expires_at)
    SELECT :'reservation_id'::uuid, :'buyer_id'::uuid, :'event_id'::uuid,
           :'reservation_number'::text, verdict.amount, 'pending', 'pending',
           clock.now + make_interval(secs => :'hold_ttl'::float)
    FROM verdict, clock
    WHERE verdict.code = 'ACCEPTED'
    RETURNING id, total_amount, expires_at
),
items AS (
    INSERT INTO reservation_items (reservation_id, ticket_type_id, quantity, unit_price,
                                   subtotal)
    SELECT reservation.id, lines.id, quantity, price, subtotal FROM reservation, lines
),
taken AS (
    UPDATE ticket_types t SET available_quantity = t.available_quantity - lines.quantity
    FROM lines, reservation
    WHERE t.id = lines.id
)
SELECT (SELECT code FROM verdict) AS verdict,
       (SELECT array_agg(name ORDER BY position) FROM lines
        WHERE available_quantity < quantity) AS sold_out,
       (SELECT title FROM event) AS event_title,
       (SELECT total_amount FROM reservation) AS total_amount,
       (SELECT to_char(expires_at, 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') FROM reservation)
           AS expires_at,
       (SELECT json_agg(json_build_object(
            'ticketTypeId', id, 'ticketTypeName', name, 'quantity', quantity,
            'unitPrice', price, 'subtotal', subtotal) ORDER BY position) FROM lines) AS items;
