"""What a hold is refused for, and that each refusal has a status and a sentence."""

import pytest

from ticket_service import errors
from ticket_service.http.responses import STATUS_OF_CODE
from ticket_service.messages import SENTENCES
from ticket_service.services.holds import HoldRequest, HoldRules, HoldVerdict, check_same, refusal

RULES = HoldRules(ttl_seconds=300, max_seats=4, max_tickets=10, max_live_per_buyer=7)

BUYER = "0a1b2c3d-4e5f-4a6b-8c7d-0123456789ab"


@pytest.mark.parametrize(
    ("verdict", "error"),
    [
        (HoldVerdict.EVENT_NOT_FOUND, errors.EventNotFound),
        (HoldVerdict.SALE_NOT_OPEN, errors.SaleNotOpen),
        (HoldVerdict.LIMIT_EXCEEDED, errors.LimitExceeded),
        (HoldVerdict.AMOUNT_TOO_LARGE, errors.AmountTooLarge),
    ],
)
def test_each_verdict_has_its_error(verdict: HoldVerdict, error: type[errors.ServiceError]):
    assert type(refusal(verdict, RULES)) is error


def test_the_limit_is_named():
    refused = refusal(HoldVerdict.LIMIT_EXCEEDED, RULES)
    assert refused.details == {"limit": 7}
    assert refused.values == {"limit": 7}


def test_a_key_names_the_reservation_of_its_buyer():
    def reservation(buyer: str, key: str | None) -> str:
        return HoldRequest.new(buyer, "event", key).reservation_id

    assert reservation(BUYER, "key") == reservation(BUYER, "key")
    assert reservation(BUYER, "key") != reservation(BUYER, "other")
    assert reservation(BUYER, "key") != reservation(BUYER.replace("0", "1"), "key")
    assert reservation(BUYER, None) != reservation(BUYER, None)
    assert [HoldRequest.new(BUYER, "event", key).has_key for key in ("key", None)] == [True, False]


def test_a_repeat_asks_for_the_same():
    check_same(("event", ["a"]), ("event", ["a"]))
    with pytest.raises(errors.IdempotencyKeyReused):
        check_same(("event", ["a"]), ("event", ["b"]))


def refusals() -> list[type[errors.ServiceError]]:
    """Every refusal of a request. RateLimited is for messages of sockets, which have no status."""
    found = [one for one in vars(errors).values() if isinstance(one, type)]
    codes = [one for one in found if issubclass(one, errors.ServiceError) and hasattr(one, "code")]
    return [one for one in codes if one is not errors.RateLimited]


@pytest.mark.parametrize("error", refusals())
def test_every_refusal_has_a_status_and_a_sentence(error: type[errors.ServiceError]):
    assert 400 <= STATUS_OF_CODE[error.code] <= 503
    assert (error.message or error.code) in SENTENCES
