-- Cancel a buyer's reservation: its seats and stock come back. If it was paid, a refund is due.
--
-- Parameters
--   buyer_id        uuid  whose reservation it must be
--   reservation_id  uuid
--
-- Locks, in this order
--   1. the reservation. A payment takes this lock first too, so it comes wholly before the
--      cancellation or wholly after it.
--   2. its seats, by id
--   3. its ticket types, by id
--
-- Verdicts, the first that fits
--   ALREADY_CANCELLED    it is cancelled
--   RESERVATION_EXPIRED  its hold has run out, whatever its status still says
--   CANCELLATION_CLOSED  the event has begun
--   ACCEPTED             it is cancelled now
--
-- Returns one row; none where the buyer has no such reservation
--   verdict      text    see above
--   seat_ids     text[]  its seats
--   has_tickets  bool    whether it has tickets
--   refund_due   bool    whether a payment must be given back now: a row of
--                        ticket_service_payments with status 'cancelled' and verdict 'REFUND_DUE'.
--                        Its payment_id is the payment's if we were told of it, else
--                        'reservation:' and the id of the reservation, until we are told

-- name: lock_reservation
SELECT id FROM reservations
WHERE id = :'reservation_id'::uuid AND user_id = :'buyer_id'::uuid FOR UPDATE;

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
-- A payment that comes after this finds expires_at passed and refuses. So expires_at goes back to
-- when the reservation was made: a payment may compare it with the time at which its own
-- transaction began, and that can be before the cancellation.
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
               -- the payment by which it is paid, if we were told of it
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
       EXISTS (SELECT FROM refund) AS refund_due
FROM verdict;
