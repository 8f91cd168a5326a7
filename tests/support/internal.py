"""The calls of other services, with their token, and the metrics."""

from typing import Any
from uuid import uuid4

from prometheus_client.parser import text_string_to_metric_families

from tests.support.service import Response, Service

TOKEN = "a-token-for-services"

SERVICE = {"X-Internal-Token": TOKEN}


def tell_payment(
    service: Service,
    reservation_id: str,
    status: str = "completed",
    payment_id: str | None = None,
    **more: Any,
) -> Response:
    """Report a payment as the Payment Service does, by default with a new payment id."""
    body = {"status": status, "paymentMethod": "card", "paymentId": payment_id or str(uuid4())}
    path = f"/internal/reservations/{reservation_id}/payment"
    return service.post(path, headers=SERVICE, json={**body, **more})


def audit(service: Service) -> list[dict[str, Any]]:
    """Return the faults that the service finds in its books."""
    answer = service.get("/internal/audit", headers=SERVICE)
    assert answer.status == 200, answer.body
    faults: list[dict[str, Any]] = answer.json()["faults"]
    return faults


def metric(service: Service, name: str, **labels: str) -> float:
    """Return a value of /metrics, or 0 if it is not there yet."""
    text = service.request("GET", "/metrics").body.decode()
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if (sample.name, sample.labels) == (name, labels):
                return float(sample.value)
    return 0
