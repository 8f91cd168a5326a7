-- Record that a payment was refunded, so that no refund is due for it any more.
--
-- If it is the payment that paid for the reservation, the payment status becomes `refunded`. A
-- payment that was never reported is taken for that one, if no other is known.
--
-- Parameters
--   payment_id      text  the Payment Service's id of the payment
--   payment_method  text  may be NULL
--   reservation_id  uuid  the reservation that it paid for
--
-- Locks, in this order
--   1. the payment (advisory), so that two reports of it at the same time have one effect
--   2. the reservation. Every writer of rows of ticket_service_payments takes this lock.
--
-- Verdicts, the first that applies
--   REUSED    the payment is for another reservation
--   REPEATED  the same was reported before
--   REFUNDED  the refund is recorded
--
-- Returns one row like that of record_payment.sql, or none if there is no such reservation
--   verdict         text    see above
--   first_verdict   text    always REFUNDED
--   buyer_id        text
--   amount          int     the reservation's total, in won
--   status          text    the reservation's status
--   payment_status  text    the reservation's new payment status
--   seat_ids        text[]  empty: no seat changed
--   has_tickets     bool    false: no stock changed

-- name: lock_payment
SELECT pg_advisory_xact_lock(
    hashtextextended('ticket-service:payment:' || :'payment_id'::text, 0)
);

-- name: lock_paid_reservation
SELECT id FROM reservations WHERE id = :'reservation_id'::uuid FOR UPDATE;

-- name: record_refund
-- `own`: whether this is the payment that paid for the reservation.
WITH reservation AS (
    SELECT id, user_id, status, payment_status, total_amount FROM reservations
    WHERE id = :'reservation_id'::uuid
),
earlier AS (
    SELECT verdict, reservation_id, status FROM ticket_service_payments
    WHERE payment_id = :'payment_id'::text
),
payer AS ( -- the payment that paid for it, if it was reported to us
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
settled AS ( -- the refund that was due, also if its payment was not reported, see cancel.sql
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
