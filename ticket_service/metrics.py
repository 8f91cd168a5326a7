"""The Prometheus metrics of an instance, shown at /metrics. An instance is one process, so the
default registry is enough."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

_UP_TO_SECONDS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10)

LOOP_SECONDS = Histogram(
    "ticket_loop_seconds", "One run of a loop", ["loop"], buckets=_UP_TO_SECONDS
)
LOOP_DONE = Counter("ticket_loop_done", "Things that a loop did", ["loop"])
LOOP_FAILURES = Counter("ticket_loop_failures", "Runs of a loop that failed", ["loop"])
LOOP_LAG = Gauge("ticket_loop_lag_seconds", "Since the last run of a loop that went well", ["loop"])
EVENT_FAILURES = Counter(
    "ticket_loop_event_failures", "Events that a loop left for its next run", ["loop"]
)

EXPIRY_LAG = Histogram(
    "ticket_expiry_lag_seconds",
    "From the end of a hold to its release",
    buckets=(0.05, 0.1, 0.25, 0.5, 0.75, 1, 2, 5, 10, 60),
)
EXPIRY_OVERDUE = Gauge(
    "ticket_expiry_overdue_seconds",
    "Age of the oldest expired hold that still stands, without deferred events",
)
EXPIRY_ASIDE = Gauge(
    "ticket_expiry_aside_events", "Events whose holds are ended separately, as rows are locked"
)
EXPIRY_ASIDE_SECONDS = Gauge(
    "ticket_expiry_aside_seconds", "How long the first of these events has been deferred"
)
AUDIT_FAULTS = Gauge(
    "ticket_audit_faults", "Rules of the books that did not hold, when last looked at"
)
REFUNDS_DUE = Counter(
    "ticket_refunds_due",
    "Payments that must be given back: late ones, and of cancelled reservations",
)

REDIS_STATE = Gauge(
    "ticket_redis_state", "1 for the state of Redis as this instance sees it, else 0", ["state"]
)
REDIS_FAILURES = Counter("ticket_redis_failures", "Calls of Redis that failed", ["error"])
PASSES_WITHOUT_GATE = Counter(
    "ticket_passes_without_waiting_room", "Attempts to buy let through while Redis was away"
)
WEBSOCKETS_CLOSED = Counter(
    "ticket_websockets_closed", "WebSockets closed for what their clients did", ["reason"]
)
SOCKETS_REFUSED = Counter(
    "ticket_sockets_refused", "New sockets refused, for too many had not signed in"
)
RATE_LIMITED = Counter(
    "ticket_rate_limited", "Requests and sign-ins refused, for there were too many", ["limit"]
)

CONNECTIONS = Gauge("ticket_connections", "Connections that clients have open, WebSockets too")
CONNECTIONS_CUT_OFF = Counter(
    "ticket_connections_cut_off", "Connections that were closed while they waited, to make room"
)

KEPT_BYTES = Gauge("ticket_kept_bytes", "Memory taken by kept answers", ["cache"])

REQUESTS_SHED = Counter(
    "ticket_requests_shed", "Requests refused unread, for more were asked than can be answered"
)
