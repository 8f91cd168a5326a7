"""The rules. A service gets its stores handed in and knows neither Flask nor a driver."""

from __future__ import annotations

from dataclasses import dataclass

from ticket_service.config import Settings
from ticket_service.realtime.announcer import Announcer
from ticket_service.realtime.bus import Bus
from ticket_service.realtime.message_limit import BURST, PER_SECOND
from ticket_service.realtime.presence import PresenceReporter
from ticket_service.realtime.rooms import MAX_ROOMS, Rooms
from ticket_service.realtime.socket_limit import MAX_SOCKETS, SocketLimit
from ticket_service.realtime.watch import MAX_LOOKS, Watches
from ticket_service.services.admissions import Admissions
from ticket_service.services.audit import Audit
from ticket_service.services.catalogue import Catalogue
from ticket_service.services.event_seats import EventSeats
from ticket_service.services.event_status import EventStatus
from ticket_service.services.expiry import WORKERS, Expiry
from ticket_service.services.health import Health
from ticket_service.services.holds import HoldRules
from ticket_service.services.payments import Payments
from ticket_service.services.reservations import Reservations
from ticket_service.services.seat_holds import SeatHolds
from ticket_service.services.seat_map import SeatMaps
from ticket_service.services.ticket_holds import TicketHolds
from ticket_service.services.waiting_room import WaitingRoom
from ticket_service.stores.database import Database
from ticket_service.stores.documents import Documents
from ticket_service.stores.event_info import EventInfos
from ticket_service.stores.guards import Guards
from ticket_service.stores.locks import SeatLocks
from ticket_service.stores.person_sockets import PersonSockets
from ticket_service.stores.postgres import Postgres
from ticket_service.stores.presence import PresenceCounts
from ticket_service.stores.redis import Redis
from ticket_service.stores.sessions import Sessions
from ticket_service.stores.versions import Versions
from ticket_service.stores.waiting_lines import QueueRules, WaitingLines

AUDIT_TIMEOUT_MS = 20_000
"""For each rule of the audit, which reads whole tables on a connection of its own."""

READ_CONNECTIONS = 4
"""For what only reads. Most answers are kept, so few are busy; searches get half at most."""

WATCH_CONNECTIONS = MAX_LOOKS + 1
"""For what sockets look at: the loop's readings, and one for those who come meanwhile."""

LOOP_CONNECTIONS = 2 + WORKERS
"""For the loops that write: the expiry, the events' status, and the events that the expiry has set
aside."""


@dataclass(frozen=True, slots=True)
class Services:
    """All services of one instance.

    Sales, reads, sockets, loops, the audit and the probe have connections to PostgreSQL of their
    own: none of them can take another's.
    """

    events: EventInfos
    event_seats: EventSeats
    catalogue: Catalogue
    seat_maps: SeatMaps
    seat_holds: SeatHolds
    ticket_holds: TicketHolds
    reservations: Reservations
    waiting_room: WaitingRoom
    admissions: Admissions
    watches: Watches
    expiry: Expiry
    event_status: EventStatus
    payments: Payments
    audit: Audit
    health: Health
    rooms: Rooms
    bus: Bus
    announcer: Announcer
    presence: PresenceReporter
    sessions: Sessions
    socket_limit: SocketLimit

    @classmethod
    def build(cls, settings: Settings) -> Services:
        """Connect nothing yet: each pool opens its connections when they are needed."""
        database = Database(settings.database_url, settings.db_schema)
        sales = Postgres(database, "sales", settings.db_pool_size)
        reads = Postgres(database, "reads", READ_CONNECTIONS)
        watch = Postgres(database, "watch", WATCH_CONNECTIONS)
        loops_postgres = Postgres(database, "loops", LOOP_CONNECTIONS)
        redis = Redis(settings.redis_url)
        loops_redis = Redis(settings.redis_url, redis.state)
        guards = Guards(settings.queue_ttl_seconds)
        versions = Versions(redis)
        documents = Documents(versions)
        rules = HoldRules(
            ttl_seconds=settings.hold_ttl_seconds,
            max_seats=settings.max_seats_per_reservation,
            max_tickets=settings.max_tickets_per_reservation,
            max_live_per_buyer=settings.max_live_tickets_per_buyer,
        )
        events = EventInfos(reads)
        rooms = Rooms()
        bus = Bus(loops_redis)
        announcer = Announcer(bus, rooms, aliases=settings.socket_aliases)
        queue_rules = QueueRules(
            threshold=settings.queue_threshold,
            ttl_seconds=settings.queue_ttl_seconds,
            no_show_seconds=settings.queue_no_show_seconds,
            max_stay_seconds=settings.queue_max_stay_seconds,
            update_seconds=settings.update_seconds,
        )
        admissions = Admissions(
            WaitingLines(loops_redis, queue_rules, guards), rooms, announcer, bus
        )
        locks = SeatLocks(redis)
        waiting_room = WaitingRoom(
            events,
            WaitingLines(redis, queue_rules, guards),
            locks,
            announcer,
            admissions,
            sell_without=settings.sell_without_waiting_room,
        )
        return cls(
            events=events,
            event_seats=EventSeats(watch, max_chosen=settings.max_seats_per_reservation),
            catalogue=Catalogue(reads, documents),
            seat_maps=SeatMaps(reads, documents),
            seat_holds=SeatHolds(sales, waiting_room, locks, announcer, rules),
            ticket_holds=TicketHolds(sales, waiting_room, versions, announcer, rules),
            reservations=Reservations(sales, reads, versions, announcer),
            waiting_room=waiting_room,
            admissions=admissions,
            watches=Watches(
                watch, loops_redis, bus, rooms, announcer, update_seconds=settings.update_seconds
            ),
            expiry=Expiry(loops_postgres, Versions(loops_redis), admissions, announcer),
            event_status=EventStatus(loops_postgres, Versions(loops_redis), announcer),
            payments=Payments(sales, versions, admissions, announcer),
            audit=Audit(Postgres(database, "audit", 1, AUDIT_TIMEOUT_MS)),
            rooms=rooms,
            bus=bus,
            announcer=announcer,
            presence=PresenceReporter(
                PresenceCounts(loops_redis, settings.update_seconds), rooms, announcer
            ),
            sessions=Sessions(redis, MAX_ROOMS, BURST, PER_SECOND),
            socket_limit=SocketLimit(PersonSockets(redis, MAX_SOCKETS), rooms),
            # A sale that keeps every connection busy is no reason to be taken out of the load
            # balancer.
            health=Health(Postgres(database, "probe", 1), redis),
        )
