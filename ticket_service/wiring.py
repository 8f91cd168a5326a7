"""Builds every part of an instance and connects the parts.

A part is given what it calls when it is built. Callbacks, by which lower parts call higher ones,
are all set in `_connect_callbacks`; what a service may call of another is given to it as a function
(`on_waiting`, `end_stays`). The background work is listed in `_loops`; gunicorn.conf.py ties it to
the worker. Nothing connects to a server here: each pool opens its connections when they are needed.
"""

from __future__ import annotations

from dataclasses import dataclass

from flask import Flask

from ticket_service.background import Background
from ticket_service.config import Settings
from ticket_service.http.limits import Limits
from ticket_service.http.tokens import TokenVerifier
from ticket_service.realtime.announcer import Announcer
from ticket_service.realtime.bus import Bus
from ticket_service.realtime.choices import Choices
from ticket_service.realtime.event_feed import EventFeed
from ticket_service.realtime.feeds import MAX_CONCURRENT_READS, Feeds
from ticket_service.realtime.message_limit import BURST, PER_SECOND
from ticket_service.realtime.presence import PresenceReporter
from ticket_service.realtime.rooms import MAX_ROOMS, Rooms
from ticket_service.realtime.seat_feed import SeatFeed
from ticket_service.realtime.socket_limit import MAX_SOCKETS, SocketLimit
from ticket_service.server.loops import RESTART_INTERVAL, Loop
from ticket_service.services.admissions import ADMISSION_INTERVAL, Admissions
from ticket_service.services.after_write import AfterWrite
from ticket_service.services.audit import AUDIT_TIMEOUT_MS, Audit
from ticket_service.services.catalogue import Catalogue
from ticket_service.services.event_seats import EventSeats
from ticket_service.services.event_status import EventStatus
from ticket_service.services.expiry import EXPIRY_INTERVAL, WORKERS, Expiry
from ticket_service.services.health import Health
from ticket_service.services.holds import HoldRules
from ticket_service.services.paid_stays import LOOK_INTERVAL, PaidStays
from ticket_service.services.payments import Payments
from ticket_service.services.rescheduling import Rescheduling
from ticket_service.services.reservations import Reservations
from ticket_service.services.seat_holds import SeatHolds
from ticket_service.services.seat_map import SeatMaps
from ticket_service.services.ticket_holds import TicketHolds
from ticket_service.services.waiting_room import WaitingRoom
from ticket_service.sockets.handlers import EventHandlers, Messages, QueueHandlers, SeatHandlers
from ticket_service.sockets.memberships import Memberships
from ticket_service.sockets.server import Sockets
from ticket_service.sockets.sign_in import Restorer, SignIn
from ticket_service.stores.database import Database
from ticket_service.stores.documents import Documents
from ticket_service.stores.event_info import EventInfos
from ticket_service.stores.guards import Guards
from ticket_service.stores.keys import payment_reading
from ticket_service.stores.locks import SeatLocks
from ticket_service.stores.person_sockets import PersonSockets
from ticket_service.stores.postgres import Postgres
from ticket_service.stores.presence import PresenceCounts
from ticket_service.stores.redis import Redis
from ticket_service.stores.sessions import SESSION_TTL, Sessions
from ticket_service.stores.versions import Versions
from ticket_service.stores.waiting_lines import QueueRules, WaitingLines

READ_CONNECTIONS = 4
"""For reads. Few are busy, since most answers are cached; searches get half of them at most."""

FEED_CONNECTIONS = MAX_CONCURRENT_READS + 1
"""For the feeds: the loop's readings, and one for sockets that join meanwhile."""

LOOP_CONNECTIONS = 3 + WORKERS
"""For the loops: the expiry with its deferred events, the event status, and the paid stays."""

POLL_INTERVAL = 1.0
"""Seconds between two readings of what other programs changed, and between the housekeeping runs
of the sockets."""

RENEWALS_PER_TTL = 4
"""How often a loop that must renew something runs within the time that it lasts."""


@dataclass(frozen=True, slots=True)
class Services:
    """The services that routes call."""

    catalogue: Catalogue
    seat_maps: SeatMaps
    seat_holds: SeatHolds
    ticket_holds: TicketHolds
    reservations: Reservations
    waiting_room: WaitingRoom
    payments: Payments
    rescheduling: Rescheduling
    audit: Audit
    health: Health


class _Stores:
    """The connections to PostgreSQL and Redis, and what is kept there. Sales, reads, feeds, loops,
    the audit and the probe have PostgreSQL pools of their own, so none can take another's."""

    def __init__(self, settings: Settings) -> None:
        database = Database(settings.database_url, settings.db_schema)
        self.sales = Postgres(database, "sales", settings.db_pool_size)
        self.reads = Postgres(database, "reads", READ_CONNECTIONS)
        self.feeds = Postgres(database, "feeds", FEED_CONNECTIONS)
        self.loops = Postgres(database, "loops", LOOP_CONNECTIONS)
        self.audit = Postgres(database, "audit", 1, AUDIT_TIMEOUT_MS)
        # Of its own, so that an instance stays ready when sales keep every other connection busy.
        self.probe = Postgres(database, "probe", 1)
        self.redis = Redis(settings.redis_url)
        self.loops_redis = Redis(settings.redis_url, self.redis.state)
        self.versions = Versions(self.redis)
        self.loops_versions = Versions(self.loops_redis)
        self.locks = SeatLocks(self.redis)
        self.event_infos = EventInfos(self.reads)
        queue_rules = QueueRules.of(settings)
        guards = Guards(settings.queue_ttl_seconds)
        self.lines = WaitingLines(self.redis, queue_rules, guards)
        self.loops_lines = WaitingLines(self.loops_redis, queue_rules, guards)
        self.sessions = Sessions(self.redis, MAX_ROOMS, BURST, PER_SECOND)
        self.limits = Limits(settings, self.loops_redis)


class _Realtime:
    """Sending to browsers."""

    def __init__(self, settings: Settings, stores: _Stores) -> None:
        feeds, redis, update_seconds = stores.feeds, stores.loops_redis, settings.update_seconds
        self.rooms = rooms = Rooms()
        self.bus = bus = Bus(redis, settings.queue_relay_channel)
        choices = Choices(rooms)
        self.announcer = announcer = Announcer(bus, rooms, choices, aliases=settings.socket_aliases)
        self.seats = SeatFeed(feeds, redis, bus, rooms, announcer)
        self.events = EventFeed(
            feeds, stores.loops_versions, rooms, announcer, update_seconds=update_seconds
        )
        self.feeds = Feeds(rooms, self.seats, self.events)
        self.presence = PresenceReporter(PresenceCounts(redis, update_seconds), rooms, announcer)
        self.socket_limit = SocketLimit(PersonSockets(stores.redis, MAX_SOCKETS), rooms)


class _Rules:
    """The services that routes call, and those that loops run."""

    def __init__(self, settings: Settings, stores: _Stores, realtime: _Realtime) -> None:
        announcer, loops_versions = realtime.announcer, stores.loops_versions
        self.admissions = Admissions(stores.loops_lines, realtime.rooms, announcer)
        end_stays = self.admissions.end_stays
        self.expiry = Expiry(stores.loops, AfterWrite(loops_versions, announcer, end_stays))
        self.event_status = EventStatus(stores.loops, loops_versions, announcer)
        claim = payment_reading(f"{settings.database_url} {settings.db_schema}")
        end_stays_begun = self.admissions.end_stays_begun
        self.paid_stays = PaidStays(stores.loops, stores.loops_redis, claim, end_stays_begun)
        self.event_seats = EventSeats(stores.feeds, max_chosen=settings.max_seats_per_reservation)
        waiting_room = WaitingRoom(
            stores.event_infos,
            stores.lines,
            stores.locks,
            announcer,
            on_waiting=self.admissions.on_waiting,
            sell_without=settings.sell_without_waiting_room,
        )
        rules = HoldRules.of(settings)
        sales, reads, versions = stores.sales, stores.reads, stores.versions
        documents = Documents(versions)
        forgetting = [documents.forget, stores.event_infos.forget]
        after_sale = AfterWrite(versions, announcer, end_stays)
        self.services = Services(
            catalogue=Catalogue(reads, documents),
            seat_maps=SeatMaps(reads, documents),
            seat_holds=SeatHolds(sales, waiting_room, stores.locks, after_sale, rules),
            ticket_holds=TicketHolds(sales, waiting_room, after_sale, rules),
            reservations=Reservations(sales, reads, after_sale),
            waiting_room=waiting_room,
            payments=Payments(sales, after_sale),
            rescheduling=Rescheduling(announcer, [*forgetting, self.event_status.look_again]),
            audit=Audit(stores.audit),
            health=Health(stores.probe, stores.redis),
        )


class _SocketHandlers:
    """The handlers of what browsers send."""

    def __init__(
        self, settings: Settings, stores: _Stores, realtime: _Realtime, rules: _Rules
    ) -> None:
        rooms, presence, seats = realtime.rooms, realtime.presence, realtime.seats
        event_infos = stores.event_infos
        self.verifier = TokenVerifier(settings.jwt_key, settings.jwt_algorithm)
        waiting_room = rules.services.waiting_room
        self.memberships = memberships = Memberships(rooms, stores.sessions)
        restorer = Restorer(
            rooms, memberships, event_infos, waiting_room, presence, seats, realtime.events
        )
        self.sign_in = SignIn(
            self.verifier,
            stores.limits,
            rooms,
            realtime.socket_limit,
            stores.sessions,
            memberships,
            restorer,
        )
        self.messages = Messages(
            rooms,
            EventHandlers(memberships, event_infos, presence, realtime.events),
            QueueHandlers(rooms, memberships, event_infos, waiting_room),
            SeatHandlers(
                rooms,
                memberships,
                event_infos,
                rules.event_seats,
                seats,
                realtime.announcer,
                secret=settings.jwt_key,
            ),
        )


class Instance:
    """One instance of the service."""

    def __init__(self, app: Flask, settings: Settings) -> None:
        """`app`: the Flask application that answers the requests other than Socket.IO's."""
        stores = _Stores(settings)
        realtime = _Realtime(settings, stores)
        rules = _Rules(settings, stores, realtime)
        handlers = _SocketHandlers(settings, stores, realtime, rules)
        self.services = rules.services
        self.verifier = handlers.verifier
        self.limits = stores.limits
        self.sockets = Sockets(app, realtime.rooms, settings, stores.limits)
        _connect_callbacks(realtime, rules, handlers, self.sockets)
        self.background = Background(
            _endless_loops(realtime.bus, stores.limits),
            _loops(settings, realtime, rules, self.sockets, handlers.memberships),
            self.sockets,
            self.services.health,
            drain_seconds=settings.drain_seconds,
        )


def _connect_callbacks(
    realtime: _Realtime, rules: _Rules, handlers: _SocketHandlers, sockets: Sockets
) -> None:
    """Set every callback: each is a call from a lower part to a higher one."""
    bus, announcer = realtime.bus, realtime.announcer
    # Messages between instances.
    bus.on("tell", announcer.on_emit)
    bus.on("admitted", announcer.on_admitted)
    bus.on("seats", realtime.seats.on_seats)
    bus.on("version", realtime.seats.on_version)
    bus.on("stock", realtime.events.on_stock)
    bus.on("status", realtime.events.on_status)
    bus.on("events", rules.services.rescheduling.on_events)
    bus.on("people", realtime.presence.on_people)
    # After the subscription was interrupted, and messages may have been lost.
    bus.on_reconnect = [realtime.seats.refresh_all, rules.admissions.on_reconnect]
    # The last seat of an event may have been sold, or one may have come back.
    announcer.on_change = [rules.event_status.touch]
    # Messages from browsers.
    sockets.on("connect", handlers.sign_in.connect)
    sockets.on("disconnect", handlers.sign_in.disconnect)
    for name, handler in handlers.messages.handlers.items():
        sockets.on(name, handler)


def _endless_loops(bus: Bus, limits: Limits) -> list[Loop]:
    """The loops that run until the process ends."""
    return [
        Loop("bus-send", bus.send_forever, RESTART_INTERVAL, endless=True),
        Loop("bus-listen", bus.listen_forever, RESTART_INTERVAL, endless=True),
        Loop("limits", limits.counters.send_forever, RESTART_INTERVAL, endless=True),
    ]


def _loops(
    settings: Settings,
    realtime: _Realtime,
    rules: _Rules,
    sockets: Sockets,
    memberships: Memberships,
) -> list[Loop]:
    """The other loops: name, work, seconds between two runs."""
    admissions = rules.admissions
    shortest_stay = min(settings.queue_ttl_seconds, settings.queue_no_show_seconds)
    return [
        Loop("admission", admissions.admit, ADMISSION_INTERVAL),
        Loop("places", admissions.keep_places, shortest_stay / RENEWALS_PER_TTL),
        Loop("expiry", rules.expiry.end_holds, EXPIRY_INTERVAL),
        Loop("event-status", rules.event_status.move, EXPIRY_INTERVAL),
        Loop("paid-stays", rules.paid_stays.end, LOOK_INTERVAL),
        Loop("feeds", realtime.feeds.poll, POLL_INTERVAL),
        Loop("presence", realtime.presence.report, settings.update_seconds),
        Loop("connections", realtime.socket_limit.report, POLL_INTERVAL),
        Loop("sockets", sockets.close_expired, POLL_INTERVAL),
        Loop("sessions", memberships.refresh_sessions, SESSION_TTL / RENEWALS_PER_TTL),
    ]
