-- Cancel a buyer's reservation and release its seats and stock. If it was paid, a refund is due.
--
-- Parameters
--   buyer_id        uuid  the buyer, who must own the reservation
--   reservation_id  uuid
--
-- Locks, in this order
--   1. the buyer (advisory), so that the later of two cancellations sees the earlier one, and that
--      nothing is left
--   2. the reservation. A payment locks it too before it changes anything, so it happens either
--      wholly before the cancellation or wholly after it.
--   3. its seats, by id
--   4. its ticket types, by id
--
-- Verdicts, the first that applies
--   ALREADY_CANCELLED    it was cancelled before
--   RESERVATION_EXPIRED  its hold has expired, even if its status is still 'pending'
--   CANCELLATION_CLOSED  the event has begun
--   ACCEPTED             it is cancelled now
--
-- Returns one row, or none if the buyer has no such reservation
--   verdict      text    see above
--   seat_ids     text[]  its seats
--   has_tickets  bool    whether it has tickets
--   refund_due   bool    whether a refund is due now. Then there is a row of
--                        ticket_service_payments with status 'cancelled' and verdict 'REFUND_DUE'.
--                        Its payment_id is that of the payment if it was reported to us. Otherwise
--                        it is 'reservation:' and the id of the reservation, until a report comes.
--   leaving      bool    whether the buyer has no other live hold of the event

-- name: lock_reservation
-- Rows are locked after everything else of a statement, so after the buyer.
WITH buyer AS MATERIALIZED (
    SELECT pg_advisory_xact_lock(
        hashtextextended('ticket-service:buyer:' || :'buyer_id'::uuid::text, 0)
    )
)
SELECT r.id FROM buyer, reservations r
WHERE r.id = :'reservation_id'::uuid AND r.user_id = :'buyer_id'::uuid FOR UPDATE OF r;

-- name: lock_its_seats
SELECT s.id
FROM reservations r JOIN reservation_items i ON i.reservation_id = r.id
JOIN seats s ON s.id = i.seat_id
WHERE r.id = :'reservation_id'::uuid AND r.user_id = :'buyer_id'::uuid
  AND r.status IN ('pending', 'confirmed')
ORDER BY s.id FOR UPDATE OF s;

-- name: lock_its_ticket_types
SELECT t.id
FROM reservations r JOIN reservation_items i ON i.reservation_id = r.id
JOIN ticket_types t ON t.id = i.ticket_type_id
WHERE r.id = :'reservation_id'::uuid AND r.user_id = :'buyer_id'::uuid
  AND r.status IN ('pending', 'confirmed')
ORDER BY t.id FOR UPDATE OF t;

-- name: cancel
-- expires_at is set to the time when the reservation was made, so that a later payment is refused.
-- The current time would not do: a payment may compare expires_at with the time when its own
-- transaction began, which can be before the cancellation.
WITH verdict AS (
    SELECT r.id, r.event_id, CASE
        WHEN r.status = 'cancelled' THEN 'ALREADY_CANCELLED'
        WHEN r.status = 'expired'
            OR r.status = 'pending' AND r.expires_at <= clock_timestamp() AT TIME ZONE 'UTC'
            THEN 'RESERVATION_EXPIRED'
        WHEN e.event_date <= clock_timestamp() AT TIME ZONE 'UTC' THEN 'CANCELLATION_CLOSED'
        ELSE 'ACCEPTED'
    END AS code
    FROM reservations r LEFT JOIN events e ON e.id = r.event_id
    WHERE r.id = :'reservation_id'::uuid AND r.user_id = :'buyer_id'::uuid
),
cancelled AS (
    UPDATE reservations r
    SET status = 'cancelled', expires_at = r.created_at
    FROM verdict
    WHERE r.id = verdict.id AND verdict.code = 'ACCEPTED'
    RETURNING r.id, r.payment_status, r.payment_method, r.total_amount
),
refund AS (
    INSERT INTO ticket_service_payments
        (payment_id, status, reservation_id, payment_method, amount, verdict)
    SELECT coalesce((
               -- the payment that paid for it, if it was reported to us
               SELECT paid.payment_id FROM ticket_service_payments paid
               WHERE paid.reservation_id = cancelled.id AND paid.status = 'completed'
                 AND paid.verdict IN ('CONFIRMED', 'ADOPTED', 'TAKEN_AGAIN')
                 AND NOT EXISTS (
                     SELECT FROM ticket_service_payments back
                     WHERE back.payment_id = paid.payment_id AND back.status = 'refunded')
               ORDER BY paid.created_at DESC LIMIT 1
           ), 'reservation:' || cancelled.id), 'cancelled',
           cancelled.id, cancelled.payment_method, cancelled.total_amount, 'REFUND_DUE'
    FROM cancelled WHERE cancelled.payment_status = 'completed'
    ON CONFLICT (payment_id, status) DO NOTHING
    RETURNING payment_id
),
seats_back AS (
    UPDATE seats s SET status = 'available'
    FROM cancelled JOIN reservation_items i ON i.reservation_id = cancelled.id
    WHERE s.id = i.seat_id
),
stock_back AS (
    UPDATE ticket_types t
    SET available_quantity = t.available_quantity + returned.quantity
    FROM (
        SELECT i.ticket_type_id, sum(i.quantity) AS quantity
        FROM cancelled JOIN reservation_items i ON i.reservation_id = cancelled.id
        GROUP BY i.ticket_type_id
    ) returned
    WHERE t.id = returned.ticket_type_id
)
SELECT code AS verdict,
       ARRAY(SELECT i.seat_id::text FROM reservation_items i
             WHERE i.reservation_id = verdict.id AND i.seat_id IS NOT NULL) AS seat_ids,
       EXISTS (SELECT FROM reservation_items i
               WHERE i.reservation_id = verdict.id AND i.ticket_type_id IS NOT NULL)
           AS has_tickets,
       EXISTS (SELECT FROM refund) AS refund_due,
       NOT EXISTS (
           SELECT FROM reservations r
           WHERE r.user_id = :'buyer_id'::uuid AND r.event_id = verdict.event_id
             AND r.id <> verdict.id AND r.status = 'pending'
             AND r.expires_at > clock_timestamp() AT TIME ZONE 'UTC'
       ) AS leaving
FROM verdict;
