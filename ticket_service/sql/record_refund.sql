-- Take note that a payment was given back: what was due for it is done.
--
-- If it is the payment by which the reservation is paid, that is `refunded` now. A payment of which
-- we never heard is taken for that one, if we know of no other.
--
-- Parameters
--   payment_id      text  the Payment Service's name for the payment
--   payment_method  text  may be NULL
--   reservation_id  uuid  what it was for
--
-- Locks, in this order
--   1. the payment (advisory), so that what is told twice at once is done once
--   2. the reservation. Whoever writes rows of ticket_service_payments has this lock.
--
-- Verdicts, the first that fits
--   REUSED    the payment is one for another reservation
--   REPEATED  we were told the same before
--   REFUNDED  the refund was noted
--
-- Returns one row, like that of record_payment.sql; none where there is no such reservation
--   verdict         text    see above
--   first_verdict   text    always REFUNDED
--   buyer_id        text
--   amount          int     won: the reservation's total
--   status          text    the reservation's
--   payment_status  text    the reservation's, now
--   seat_ids        text[]  empty: no seat changed
--   has_tickets     bool    false: no stock changed

-- name: lock_payment
SELECT pg_advisory_xact_lock(
    hashtextextended('ticket-service:payment:' || :'payment_id'::text, 0)
);

-- name: lock_paid_reservation
SELECT id FROM reservations WHERE id = :'reservation_id'::uuid FOR UPDATE;

-- name: record_refund
-- `own`: whether this is the payment by which the reservation is paid.
WITH reservation AS (
    SELECT id, user_id, status, payment_status, total_amount FROM reservations
    WHERE id = :'reservation_id'::uuid
),
earlier AS (
    SELECT verdict, reservation_id, status FROM ticket_service_payments
    WHERE payment_id = :'payment_id'::text
),
payer AS ( -- the payment by which it is paid, if we were told of it
    SELECT paid.payment_id FROM ticket_service_payments paid
    WHERE paid.reservation_id = :'reservation_id'::uuid AND paid.status = 'completed'
      AND paid.verdict IN ('CONFIRMED', 'ADOPTED', 'TAKEN_AGAIN')
      AND NOT EXISTS (SELECT FROM ticket_service_payments back
                      WHERE back.payment_id = paid.payment_id AND back.status = 'refunded')
    ORDER BY paid.created_at DESC LIMIT 1
),
verdict AS (
    SELECT CASE
        WHEN EXISTS (SELECT FROM earlier
                     WHERE reservation_id <> :'reservation_id'::uuid) THEN 'REUSED'
        WHEN EXISTS (SELECT FROM earlier WHERE status = 'refunded') THEN 'REPEATED'
        ELSE 'REFUNDED'
    END AS code,
    coalesce((SELECT payment_id = :'payment_id'::text FROM payer),
             NOT EXISTS (SELECT FROM earlier WHERE status = 'completed')) AS own
    FROM reservation
),
noted AS (
    INSERT INTO ticket_service_payments
        (payment_id, status, reservation_id, payment_method, amount, verdict)
    SELECT :'payment_id'::text, 'refunded', r.id, :'payment_method'::text, r.total_amount,
           'REFUNDED'
    FROM verdict, reservation r WHERE verdict.code = 'REFUNDED'
),
settled AS ( -- a refund that is due, also one whose payment_id was not known, see cancel.sql
    UPDATE ticket_service_payments due
    SET verdict = 'REFUNDED', payment_id = :'payment_id'::text
    FROM verdict, reservation r
    WHERE verdict.code = 'REFUNDED'
      AND due.reservation_id = r.id AND due.verdict = 'REFUND_DUE'
      AND (due.payment_id = :'payment_id'::text
           OR verdict.own AND due.payment_id = 'reservation:' || r.id)
),
changed AS (
    UPDATE reservations r SET payment_status = 'refunded'
    FROM verdict
    WHERE r.id = :'reservation_id'::uuid AND r.payment_status = 'completed'
      AND verdict.code = 'REFUNDED' AND verdict.own
    RETURNING r.payment_status
)
SELECT verdict.code AS verdict, 'REFUNDED' AS first_verdict, r.user_id::text AS buyer_id,
       r.total_amount AS amount, r.status,
       coalesce((SELECT payment_status FROM changed), r.payment_status) AS payment_status,
       ARRAY[]::text[] AS seat_ids, false AS has_tickets
FROM verdict, reservation r;
