-- Hold chosen seats of an event for a buyer: all of them, or none.
--
-- Parameters
--   buyer_id            uuid    the buyer
--   event_id            uuid    the event of the seats
--   seat_ids            uuid[]  the seats, each once
--   reservation_id      uuid    of the new reservation; the repeat of a request has the same one
--   reservation_number  text    of the new reservation, as people see it
--   hold_ttl            float   seconds until the hold expires
--   limit               int     seats and tickets that a buyer may have of an event at once
--   max_amount          int     the largest total, in won
--
-- Locks, in this order
--   1. the buyer (advisory), so that their limit is checked by one request at a time
--   2. the seats, by id, without waiting: a seat that someone else has locked is an error (55P03)
--
-- Verdicts, the first that applies
--   REPEATED               there is a reservation with this id
--   EVENT_NOT_FOUND        there is no such event
--   SEAT_NOT_FOUND         not all of the seats belong to this event
--   SALE_NOT_OPEN          the sale has not begun or is over, or the event is cancelled
--   SEAT_ALREADY_RESERVED  a seat is not available
--   LIMIT_EXCEEDED         the buyer would have more than the limit
--   AMOUNT_TOO_LARGE       the total would be too large
--   ACCEPTED               the reservation is written, and the seats have the status 'locked'
--
-- Returns one row
--   verdict       text    see above
--   taken         text[]  labels of the requested seats that are not available; NULL if none
--   total_amount  int     in won; NULL unless ACCEPTED
--   expires_at    text    when the hold expires, ISO 8601 in UTC; NULL unless ACCEPTED
--   seats         json    the requested seats by label, in the shape of the API, as held

-- name: lock_buyer
SELECT pg_advisory_xact_lock(
    hashtextextended('ticket-service:buyer:' || :'buyer_id'::uuid::text, 0)
);

-- name: lock_seats
SELECT id FROM seats
WHERE event_id = :'event_id'::uuid AND id = ANY (:'seat_ids'::uuid[])
ORDER BY id FOR UPDATE NOWAIT;

-- name: hold_seats
-- clock_timestamp() and not now(), which is when the transaction began: before it waited for locks.
WITH clock AS (SELECT clock_timestamp() AT TIME ZONE 'UTC' AS now),
event AS (
    SELECT status NOT IN ('cancelled', 'ended')
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
wanted AS (
    SELECT id, seat_label, price, status FROM seats
    WHERE event_id = :'event_id'::uuid AND id = ANY (:'seat_ids'::uuid[])
),
verdict AS (
    SELECT CASE
        WHEN EXISTS (SELECT FROM earlier) THEN 'REPEATED'
        WHEN NOT EXISTS (SELECT FROM event) THEN 'EVENT_NOT_FOUND'
        WHEN count(*) < cardinality(:'seat_ids'::uuid[]) THEN 'SEAT_NOT_FOUND'
        WHEN NOT (SELECT on_sale FROM event) THEN 'SALE_NOT_OPEN'
        WHEN bool_or(status <> 'available') THEN 'SEAT_ALREADY_RESERVED'
        WHEN count(*) + (SELECT quantity FROM live) > :'limit'::int THEN 'LIMIT_EXCEEDED'
        WHEN sum(price) > :'max_amount'::int THEN 'AMOUNT_TOO_LARGE'
        ELSE 'ACCEPTED'
    END AS code, sum(price) AS amount
    FROM wanted
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
    INSERT INTO reservation_items (reservation_id, seat_id, quantity, unit_price, subtotal)
    SELECT reservation.id, wanted.id, 1, price, price FROM reservation, wanted
),
locked AS (
    UPDATE seats SET status = 'locked'
    FROM reservation
    WHERE seats.id = ANY (:'seat_ids'::uuid[])
)
SELECT (SELECT code FROM verdict) AS verdict,
       (SELECT array_agg(seat_label ORDER BY seat_label) FROM wanted
        WHERE status <> 'available') AS taken,
       (SELECT total_amount FROM reservation) AS total_amount,
       (SELECT to_char(expires_at, 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') FROM reservation)
           AS expires_at,
       (SELECT json_agg(json_build_object('id', id, 'seat_label', seat_label, 'price', price,
                                          'status', 'locked') ORDER BY seat_label)
        FROM wanted) AS seats;
