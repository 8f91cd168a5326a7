-- End one batch of expired holds and release their seats and stock.
--
-- A hold ends only if all its rows could be locked. Otherwise it stays as it is, and the result
-- lists the rows that others have locked: those that were missed.
--
-- Parameters
--   failed    uuid[]  reservations to skip
--   aside     uuid[]  events to skip
--   event_id  text    only holds of the event with this id; NULL or '' for any event
--   only      text    only the reservation with this id; NULL or '' for any
--   missed    uuid[]  seats and ticket types; holds that need one of them are skipped
--   batch     int     how many holds at most
--
-- The zero UUID stands for the event of a hold whose event was deleted.
--
-- Locks: it waits for none, so their order does not matter
--   the reservations that are due, their seats and their ticket types, except those that others
--   have locked. A payment locks the reservation too, so it happens either wholly before the end
--   of the hold or wholly after it.
--
-- Verdicts: none. A hold has ended if nothing of it was missed.
--
-- Returns a row for each hold that was due
--   event_id      text
--   buyer_id      text
--   lag           float   seconds since it expired
--   seat_ids      text[]  its seats
--   has_tickets   bool    whether it has tickets
--   missed_seats  text[]  those of its seats that others have locked
--   missed_types  text[]  those of its ticket types that others have locked

-- name: expire
-- All kinds of calls use the same conditions, so that the plan is the same whatever is empty.
-- statement_timestamp() is stable, so the index on status and expires_at can be used.
-- The holds that need a missed row are found by an ARRAY, since the planner may turn an EXISTS into
-- a scan of all items. expires_at is set back for the same reason as in cancel.sql.
WITH due AS MATERIALIZED (
    SELECT id, event_id, user_id, expires_at FROM reservations
    WHERE status = 'pending' AND payment_status <> 'completed'
      AND expires_at <= statement_timestamp() AT TIME ZONE 'UTC'
      AND id <> ALL (:'failed'::uuid[])
      AND coalesce(event_id, '00000000-0000-0000-0000-000000000000') <> ALL (:'aside'::uuid[])
      AND (nullif(:'event_id'::text, '') IS NULL
           OR coalesce(event_id, '00000000-0000-0000-0000-000000000000')
              = nullif(:'event_id'::text, '')::uuid)
      AND (nullif(:'only'::text, '') IS NULL OR id = nullif(:'only'::text, '')::uuid)
      AND (cardinality(:'missed'::uuid[]) = 0 OR NOT :'missed'::uuid[] && ARRAY(
          SELECT unnest(ARRAY[seat_id, ticket_type_id]) FROM reservation_items
          WHERE reservation_id = reservations.id
      ))
    ORDER BY expires_at LIMIT :'batch'::int
    FOR UPDATE SKIP LOCKED
),
lines AS MATERIALIZED (
    SELECT due.id AS reservation_id, i.seat_id, i.ticket_type_id, i.quantity
    FROM due JOIN reservation_items i ON i.reservation_id = due.id
),
places AS MATERIALIZED (
    SELECT id FROM seats WHERE id IN (SELECT seat_id FROM lines) FOR UPDATE SKIP LOCKED
),
types AS MATERIALIZED (
    SELECT id FROM ticket_types WHERE id IN (SELECT ticket_type_id FROM lines)
    FOR UPDATE SKIP LOCKED
),
seen AS MATERIALIZED (
    SELECT lines.*,
           places.id IS NULL AND EXISTS (SELECT FROM seats WHERE id = lines.seat_id)
               AS seat_missed,
           types.id IS NULL AND EXISTS (SELECT FROM ticket_types WHERE id = ticket_type_id)
               AS type_missed
    FROM lines LEFT JOIN places ON places.id = seat_id
    LEFT JOIN types ON types.id = ticket_type_id
),
holds AS MATERIALIZED (
    SELECT due.id,
           coalesce(array_agg(seat_id::text) FILTER (WHERE seat_id IS NOT NULL), '{}')
               AS seat_ids,
           count(ticket_type_id) > 0 AS has_tickets,
           coalesce(array_agg(seat_id::text) FILTER (WHERE seat_missed), '{}') AS missed_seats,
           coalesce(array_agg(ticket_type_id::text) FILTER (WHERE type_missed), '{}')
               AS missed_types
    FROM due LEFT JOIN seen ON seen.reservation_id = due.id
    GROUP BY due.id
),
whole AS MATERIALIZED (
    SELECT id FROM holds WHERE cardinality(missed_seats) + cardinality(missed_types) = 0
),
ended AS (
    UPDATE reservations r SET expires_at = r.created_at, status = (
        -- If migrations are off, an old CHECK may not allow 'expired'.
        SELECT CASE WHEN EXISTS (
            SELECT FROM pg_constraint c
            JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = ANY (c.conkey)
            WHERE c.conrelid = 'reservations'::regclass AND c.contype = 'c'
              AND a.attname = 'status' AND cardinality(c.conkey) = 1
              AND strpos(pg_get_constraintdef(c.oid), quote_literal('pending')) > 0
              AND strpos(pg_get_constraintdef(c.oid), quote_literal('expired')) = 0
        ) THEN 'cancelled' ELSE 'expired' END
    )
    FROM whole WHERE r.id = whole.id
),
seats_back AS (
    UPDATE seats s SET status = 'available'
    FROM lines JOIN whole ON whole.id = lines.reservation_id WHERE s.id = lines.seat_id
),
stock_back AS (
    UPDATE ticket_types t SET available_quantity = t.available_quantity + back.quantity
    FROM (
        SELECT ticket_type_id, sum(quantity) AS quantity
        FROM lines JOIN whole ON whole.id = lines.reservation_id
        GROUP BY ticket_type_id
    ) back
    WHERE t.id = back.ticket_type_id
)
SELECT coalesce(event_id, '00000000-0000-0000-0000-000000000000')::text AS event_id,
       user_id::text AS buyer_id,
       extract(epoch FROM clock_timestamp() AT TIME ZONE 'UTC' - expires_at)::float AS lag,
       seat_ids, has_tickets, missed_seats, missed_types
FROM due JOIN holds USING (id);
