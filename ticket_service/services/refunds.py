"""Money that must be given back: how it becomes due, and how the Payment Service says it is done.

A refund is due for a payment that came too late (payments.py), and for the payment of a reservation
that the buyer cancelled. Each is a row of ticket_service_payments whose verdict is REFUND_DUE until
the Payment Service tells that it gave the money back; then it is REFUNDED. Only the Payment Service
makes a reservation's payment_status `refunded`: by telling us, or in the table itself.

All rows of one reservation are written by whoever has locked the reservation.
"""

from __future__ import annotations


def payer(reservation_id: str) -> str:
    """A query for the payment by which a reservation is paid, if we were told of it."""
    return f"""
        SELECT paid.payment_id FROM ticket_service_payments paid
        WHERE paid.reservation_id = {reservation_id} AND paid.status = 'completed'
          AND paid.verdict IN ('CONFIRMED', 'ADOPTED', 'TAKEN_AGAIN')
          AND NOT EXISTS (SELECT FROM ticket_service_payments back
                          WHERE back.payment_id = paid.payment_id AND back.status = 'refunded')
        ORDER BY paid.created_at DESC LIMIT 1
    """


def unnamed(reservation_id: str) -> str:
    """The payment_id of a refund whose payment the Payment Service wrote into the table itself.

    We learn its real id when the Payment Service first tells us of it.
    """
    return f"'reservation:' || {reservation_id}"


REFUND_OF_CANCELLED = f"""
    refund AS (
        INSERT INTO ticket_service_payments
            (payment_id, status, reservation_id, payment_method, amount, verdict)
        SELECT coalesce(({payer("cancelled.id")}), {unnamed("cancelled.id")}), 'cancelled',
               cancelled.id, cancelled.payment_method, cancelled.total_amount, 'REFUND_DUE'
        FROM cancelled WHERE cancelled.payment_status = 'completed'
        ON CONFLICT (payment_id, status) DO NOTHING
        RETURNING payment_id
    )
"""
"""CTE: the refund of a reservation that is `cancelled` just now, if it is paid."""

# A payment of which we never heard is the one by which the reservation is paid, if we know of no
# other. `own` says whether this one is.
NOTE_REFUND = f"""
    WITH reservation AS (
        SELECT id, user_id, status, payment_status, total_amount FROM reservations
        WHERE id = %(reservation_id)s::uuid
    ),
    earlier AS (
        SELECT verdict, reservation_id, status FROM ticket_service_payments
        WHERE payment_id = %(payment_id)s::text
    ),
    payer AS ({payer("%(reservation_id)s::uuid")}),
    verdict AS (
        SELECT CASE
            WHEN EXISTS (SELECT FROM earlier
                         WHERE reservation_id <> %(reservation_id)s::uuid) THEN 'REUSED'
            WHEN EXISTS (SELECT FROM earlier WHERE status = 'refunded') THEN 'REPEATED'
            ELSE 'REFUNDED'
        END AS code,
        coalesce((SELECT payment_id = %(payment_id)s::text FROM payer),
                 NOT EXISTS (SELECT FROM earlier WHERE status = 'completed')) AS own
        FROM reservation
    ),
    noted AS (
        INSERT INTO ticket_service_payments
            (payment_id, status, reservation_id, payment_method, amount, verdict)
        SELECT %(payment_id)s::text, 'refunded', r.id, %(payment_method)s::text, r.total_amount,
               'REFUNDED'
        FROM verdict, reservation r WHERE verdict.code = 'REFUNDED'
    ),
    settled AS (
        UPDATE ticket_service_payments due
        SET verdict = 'REFUNDED', payment_id = %(payment_id)s::text
        FROM verdict, reservation r
        WHERE verdict.code = 'REFUNDED'
          AND due.reservation_id = r.id AND due.verdict = 'REFUND_DUE'
          AND (due.payment_id = %(payment_id)s::text
               OR verdict.own AND due.payment_id = {unnamed("r.id")})
    ),
    changed AS (
        UPDATE reservations r SET payment_status = 'refunded'
        FROM verdict
        WHERE r.id = %(reservation_id)s::uuid AND r.payment_status = 'completed'
          AND verdict.code = 'REFUNDED' AND verdict.own
        RETURNING r.payment_status
    )
    SELECT verdict.code, 'REFUNDED', r.user_id::text, r.total_amount, r.status,
           coalesce((SELECT payment_status FROM changed), r.payment_status),
           ARRAY[]::text[], false
    FROM verdict, reservation r
"""
"""The last statement of RECORD_REFUND (payments.py), under the locks on the payment and on its
reservation; its row is like that of RECORD_PAYMENT."""
