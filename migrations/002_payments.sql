-- What the Payment Service told us, once for each payment and outcome: so that it may tell us again,
-- and so that an operator finds what must be given back. A table of this service alone.

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
