"""What is announced after a payment is recorded, for each verdict."""

import pytest

from ticket_service.services.after_write import Change
from ticket_service.services.payments import PaymentVerdict, _Recorded

NOTHING = Change()

CHANGES = {
    PaymentVerdict.FREED: Change(["seat"], "available", stock=True),
    PaymentVerdict.CONFIRMED: Change(["seat"], "reserved", stock=False, leaving=["buyer"]),
    PaymentVerdict.TAKEN_AGAIN: Change(["seat"], "reserved", stock=True, leaving=["buyer"]),
    PaymentVerdict.ADOPTED: Change(leaving=["buyer"]),
    PaymentVerdict.NOTED: NOTHING,
    PaymentVerdict.REPEATED: NOTHING,
    PaymentVerdict.REUSED: NOTHING,
    PaymentVerdict.REFUND_DUE: NOTHING,
    PaymentVerdict.REFUNDED: NOTHING,
}


def recorded(verdict: PaymentVerdict, *, has_tickets: bool = True) -> _Recorded:
    return _Recorded(
        verdict=verdict,
        first_verdict=None,
        buyer_id="buyer",
        amount=1_000,
        status="confirmed",
        payment_status="completed",
        seat_ids=["seat"],
        has_tickets=has_tickets,
    )


@pytest.mark.parametrize("verdict", PaymentVerdict)
def test_each_verdict_has_its_change(verdict: PaymentVerdict):
    assert recorded(verdict).change == CHANGES[verdict]


@pytest.mark.parametrize("verdict", [PaymentVerdict.FREED, PaymentVerdict.TAKEN_AGAIN])
def test_without_tickets_the_stock_is_as_before(verdict: PaymentVerdict):
    assert not recorded(verdict, has_tickets=False).change.stock
