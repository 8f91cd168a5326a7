-- End one batch of holds that ran out: their seats and stock come back.
--
-- A hold ends only if all its rows were had; of what somebody else has locked it says what was
-- missed. What was locked of such a hold is free again at once.
--
-- Parameters
--   failed    uuid[]  reservations to leave alone
--   aside     uuid[]  events to leave alone
--   event_id  text    only the holds of the event with this id; NULL or '': of any
--   only      text    only the reservation with this id; NULL or '': any
--   missed    uuid[]  seats and ticket types: holds that need one of them are passed over
--   batch     int     how many holds at most
--
-- The zero UUID stands for the event of a hold whose event was deleted.
--
-- Locks: waits for nothing, so their order does not matter
--   the reservations that are due, their seats, their ticket types, passing over those that someone
--   else has locked. A payment locks the reservation too, so it comes wholly before the end or
--   wholly after it.
--
-- Verdicts: none. A hold was ended if nothing of it was missed.
--
-- Returns a row for each hold that was due
--   event_id      text
--   buyer_id      text
--   lag           float   seconds since its end
--   seat_ids      text[]  its seats
--   has_tickets   bool    whether it has tickets
--   missed_seats  text[]  those of its seats that someone else has locked
--   missed_types  text[]  those of its ticket types that someone else has locked

-- name: expire
-- One filter for all kinds of calls: whatever is empty, the plan is the same.
-- The time is that of the statement, which the index on status and expires_at can use.
-- What needs a missed row is found by an ARRAY: an EXISTS may be planned as a scan of all lines.
-- Like a cancellation, the end moves expires_at back to when the reservation was made, as a payment
-- may compare it with the time at which its own transaction began.
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
        -- Where migrations are off, an old CHECK may know no 'expired'.
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
