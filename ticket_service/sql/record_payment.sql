-- Record a payment that succeeded or failed, and confirm or cancel its reservation.
--
-- A payment for a hold that is over takes the same seats and tickets if all are still available.
-- Otherwise a refund is due. A failed payment cancels a pending hold.
--
-- Parameters
--   payment_id      text  the Payment Service's id of the payment
--   status          text  'completed' or 'failed'
--   payment_method  text  may be NULL
--   reservation_id  uuid  the reservation that it pays for
--
-- Locks, in this order
--   1. the payment (advisory), so that two reports of it at the same time have one effect
--   2. the reservation. Every writer of rows of ticket_service_payments takes this lock.
--   3. its seats, by id
--   4. its ticket types, by id: by the first CTE of the last statement
--
-- Verdicts, the first that applies; all but REUSED and REPEATED are kept in ticket_service_payments
--   REUSED       the payment is for another reservation
--   REPEATED     the same was reported before
--   FREED        it failed, and the hold is cancelled: its seats and stock are released
--   NOTED        it failed and there is no hold to cancel, or it was refunded before
--   ADOPTED      the reservation is known to be paid and no payment was reported yet, so it is
--                this one. If the reservation was cancelled since, the refund gets this payment_id.
--   CONFIRMED    the reservation is confirmed now
--   TAKEN_AGAIN  the hold was over, but everything was available; the reservation is confirmed now
--   REFUND_DUE   it must be refunded
--
-- Returns one row, or none if there is no such reservation
--   verdict         text    see above
--   first_verdict   text    the verdict on the first report; NULL unless REPEATED
--   buyer_id        text
--   amount          int     the reservation's total, in won
--   status          text    the reservation's new status
--   payment_status  text    the reservation's new payment status
--   seat_ids        text[]  its seats
--   has_tickets     bool    whether it has tickets

-- name: lock_payment
SELECT pg_advisory_xact_lock(
    hashtextextended('ticket-service:payment:' || :'payment_id'::text, 0)
);

-- name: lock_paid_reservation
SELECT id FROM reservations WHERE id = :'reservation_id'::uuid FOR UPDATE;

-- name: lock_paid_seats
SELECT s.id FROM seats s JOIN reservation_items i ON i.seat_id = s.id
WHERE i.reservation_id = :'reservation_id'::uuid
ORDER BY s.id FOR UPDATE OF s;

-- name: record_payment
WITH types AS MATERIALIZED (
    SELECT t.id, t.available_quantity FROM ticket_types t
    WHERE t.id IN (SELECT ticket_type_id FROM reservation_items
                   WHERE reservation_id = :'reservation_id'::uuid)
    ORDER BY t.id FOR UPDATE
),
lines AS (
    SELECT ticket_type_id, sum(quantity) AS quantity FROM reservation_items
    WHERE reservation_id = :'reservation_id'::uuid AND ticket_type_id IS NOT NULL
    GROUP BY ticket_type_id
),
own_seats AS (
    SELECT s.id, s.status FROM seats s JOIN reservation_items i ON i.seat_id = s.id
    WHERE i.reservation_id = :'reservation_id'::uuid
),
reservation AS (
    SELECT id, event_id, user_id, status, payment_status, total_amount FROM reservations
    WHERE id = :'reservation_id'::uuid
),
earlier AS (
    SELECT verdict, reservation_id, status FROM ticket_service_payments
    WHERE payment_id = :'payment_id'::text
),
refund AS ( -- due for a payment that was not reported, see cancel.sql
    SELECT id FROM ticket_service_payments
    WHERE payment_id = 'reservation:' || (:'reservation_id'::uuid)::text AND status = 'cancelled'
),
verdict AS (
    SELECT CASE
        WHEN EXISTS (SELECT FROM earlier
                     WHERE reservation_id <> :'reservation_id'::uuid) THEN 'REUSED'
        WHEN EXISTS (SELECT FROM earlier WHERE status = :'status'::text) THEN 'REPEATED'
        WHEN :'status'::text = 'failed' THEN
            CASE WHEN r.status = 'pending' THEN 'FREED' ELSE 'NOTED' END
        WHEN EXISTS (SELECT FROM earlier WHERE status = 'refunded') THEN 'NOTED'
        WHEN EXISTS (SELECT FROM refund) THEN 'ADOPTED'
        WHEN r.status = 'pending' THEN 'CONFIRMED'
        WHEN r.status = 'confirmed' AND r.payment_status <> 'completed' THEN 'CONFIRMED'
        WHEN r.status = 'confirmed' AND NOT EXISTS (
            SELECT FROM ticket_service_payments
            WHERE reservation_id = r.id AND status = 'completed') THEN 'ADOPTED'
        WHEN r.status IN ('expired', 'cancelled')
            AND r.payment_status NOT IN ('completed', 'refunded')
            AND NOT EXISTS (SELECT FROM events e
                            WHERE e.id = r.event_id AND e.status = 'cancelled')
            AND NOT EXISTS (SELECT FROM reservation_items i WHERE i.reservation_id = r.id
                            AND i.seat_id IS NULL AND i.ticket_type_id IS NULL)
            AND NOT EXISTS (SELECT FROM own_seats WHERE status <> 'available')
            AND NOT EXISTS (SELECT FROM lines LEFT JOIN types ON types.id = ticket_type_id
                            WHERE coalesce(available_quantity, 0) < quantity)
            AND (EXISTS (SELECT FROM own_seats) OR EXISTS (SELECT FROM lines))
            THEN 'TAKEN_AGAIN'
        ELSE 'REFUND_DUE'
    END AS code
    FROM reservation r
),
noted AS (
    INSERT INTO ticket_service_payments
        (payment_id, status, reservation_id, payment_method, amount, verdict)
    SELECT :'payment_id'::text, :'status'::text, r.id, :'payment_method'::text,
           r.total_amount, verdict.code
    FROM verdict, reservation r
    WHERE verdict.code NOT IN ('REUSED', 'REPEATED')
),
named AS (
    UPDATE ticket_service_payments due SET payment_id = :'payment_id'::text
    FROM verdict, refund
    WHERE due.id = refund.id AND verdict.code = 'ADOPTED'
),
changed AS (
    UPDATE reservations r SET
        status = CASE verdict.code WHEN 'FREED' THEN 'cancelled' ELSE 'confirmed' END,
        payment_status = CASE verdict.code WHEN 'FREED' THEN 'failed' ELSE 'completed' END,
        payment_method = :'payment_method'::text,
        expires_at = CASE verdict.code WHEN 'FREED' THEN r.created_at ELSE r.expires_at END
    FROM verdict
    WHERE r.id = :'reservation_id'::uuid
      AND verdict.code IN ('FREED', 'CONFIRMED', 'TAKEN_AGAIN')
    RETURNING r.status, r.payment_status
),
seats_changed AS (
    UPDATE seats s
    SET status = CASE verdict.code WHEN 'FREED' THEN 'available' ELSE 'reserved' END
    FROM verdict, own_seats
    WHERE s.id = own_seats.id AND verdict.code IN ('FREED', 'CONFIRMED', 'TAKEN_AGAIN')
),
stock_changed AS (
    UPDATE ticket_types t SET available_quantity = t.available_quantity
        + CASE verdict.code WHEN 'FREED' THEN lines.quantity ELSE -lines.quantity END
    FROM verdict, lines JOIN types ON types.id = lines.ticket_type_id
    WHERE t.id = types.id AND verdict.code IN ('FREED', 'TAKEN_AGAIN')
)
SELECT verdict.code AS verdict,
       (SELECT verdict FROM earlier WHERE status = :'status'::text) AS first_verdict,
       r.user_id::text AS buyer_id, r.total_amount AS amount,
       coalesce((SELECT status FROM changed), r.status) AS status,
       coalesce((SELECT payment_status FROM changed), r.payment_status) AS payment_status,
       ARRAY(SELECT id::text FROM own_seats) AS seat_ids,
       EXISTS (SELECT FROM lines) AS has_tickets
FROM verdict, reservation r;
