-- The payments that the Payment Service reported, one row for each payment and status: so that a
-- report can be repeated, and an operator finds the refunds that are due. Only this service uses it.

CREATE TABLE IF NOT EXISTS ticket_service_payments (
    id             uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    payment_id     varchar(255) NOT NULL,
    status         varchar(20) NOT NULL,
    reservation_id uuid NOT NULL,
    payment_method varchar(50),
    amount         integer NOT NULL,
    verdict        varchar(20) NOT NULL,
    created_at     timestamp NOT NULL DEFAULT (now() AT TIME ZONE 'UTC'),
    UNIQUE (payment_id, status)
);
