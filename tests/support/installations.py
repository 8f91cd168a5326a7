"""Databases as other programs may have made them."""

from dataclasses import dataclass

from psycopg2.extensions import connection as Connection

from tests.support.schemas import ALTER, NEW_CHECK, OLD_CHECK, USER, fill, run


@dataclass(frozen=True)
class Installation:
    """A way in which another program may have made the tables."""

    schema: str = "public"
    users: bool = False
    check: str = OLD_CHECK
    keywords: bool = False
    indexes: bool = False
    more: str = ""

    def make(self, db: Connection) -> None:
        """Make the tables, with one row in each."""
        run(db, f"CREATE SCHEMA IF NOT EXISTS {self.schema}; SET search_path = {self.schema}")
        user = "uuid"
        if self.users:
            run(db, f"CREATE TABLE users (id uuid PRIMARY KEY); INSERT INTO users SELECT {USER}")
            user = "uuid NOT NULL REFERENCES users (id)"
        run(db, OTHER_TABLES.format(user=user, check=self.check))
        if self.keywords:
            run(db, OTHER_KEYWORDS)
        if self.indexes:
            run(db, OTHER_INDEXES)
        if self.more:
            run(db, self.more)
        fill(db)
        run(db, "SET search_path = public")


OTHER_TABLES = """
    CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS
        'BEGIN NEW.updated_at = CURRENT_TIMESTAMP; RETURN NEW; END';
    CREATE TABLE seat_layouts (
        id uuid PRIMARY KEY DEFAULT gen_random_uuid(), name varchar(100) UNIQUE,
        description text, total_seats int, layout_config jsonb,
        created_at timestamp DEFAULT now(), updated_at timestamp DEFAULT now());
    CREATE TABLE events (
        id uuid PRIMARY KEY DEFAULT gen_random_uuid(), title varchar(255), description text,
        venue varchar(255), address text, event_date timestamp NOT NULL,
        sale_start_date timestamp NOT NULL, sale_end_date timestamp NOT NULL,
        poster_image_url text, status varchar(20) DEFAULT 'upcoming',
        seat_layout_id uuid REFERENCES seat_layouts (id), artist_name varchar(255),
        pre_scaled boolean DEFAULT false, created_by uuid,
        created_at timestamp DEFAULT now(), updated_at timestamp DEFAULT now());
    CREATE TABLE ticket_types (
        id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
        event_id uuid REFERENCES events (id) ON DELETE CASCADE, name varchar(100), price int,
        total_quantity int, available_quantity int CHECK (available_quantity >= 0),
        description text,
        created_at timestamp DEFAULT now(), updated_at timestamp DEFAULT now());
    CREATE TABLE seats (
        id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
        event_id uuid REFERENCES events (id) ON DELETE CASCADE, section varchar(50),
        row_number int, seat_number int, seat_label varchar(20), price int,
        status varchar(20) DEFAULT 'available',
        created_at timestamp DEFAULT now(), updated_at timestamp DEFAULT now(),
        CONSTRAINT one_seat UNIQUE (event_id, section, row_number, seat_number));
    CREATE TABLE reservations (
        id uuid PRIMARY KEY DEFAULT gen_random_uuid(), user_id {user},
        event_id uuid REFERENCES events (id) ON DELETE SET NULL,
        reservation_number varchar(50) UNIQUE, total_amount int,
        status varchar(20) DEFAULT 'pending' {check},
        payment_method varchar(50), payment_status varchar(20) DEFAULT 'pending'
            CHECK (payment_status IN ('pending', 'completed', 'failed', 'refunded')),
        expires_at timestamp,
        created_at timestamp DEFAULT now(), updated_at timestamp DEFAULT now());
    CREATE TABLE reservation_items (
        id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
        reservation_id uuid REFERENCES reservations (id) ON DELETE CASCADE,
        ticket_type_id uuid REFERENCES ticket_types (id),
        seat_id uuid REFERENCES seats (id) ON DELETE SET NULL,
        quantity int, unit_price int, subtotal int, created_at timestamp DEFAULT now());
    CREATE TRIGGER touch_seats BEFORE UPDATE ON seats
        FOR EACH ROW EXECUTE FUNCTION touch();
    CREATE TRIGGER touch_reservations BEFORE UPDATE ON reservations
        FOR EACH ROW EXECUTE FUNCTION touch();
"""

OTHER_KEYWORDS = """
    CREATE TABLE keyword_mappings (
        id uuid PRIMARY KEY DEFAULT gen_random_uuid(), korean varchar(255),
        english varchar(255), entity_type varchar(50), created_at timestamp DEFAULT now(),
        UNIQUE (korean, english));
"""

OTHER_INDEXES = """
    CREATE INDEX idx_sale ON events (sale_start_date, id, title);
    CREATE INDEX idx_types ON ticket_types (event_id);
    CREATE INDEX idx_mine ON reservations (user_id, created_at DESC);
    CREATE INDEX idx_lines ON reservation_items (reservation_id, seat_id);
    CREATE INDEX idx_line_types ON reservation_items (ticket_type_id);
    CREATE INDEX idx_line_seats ON reservation_items (seat_id);
"""

INSTALLATIONS = {
    "the oldest": Installation(),
    "in a schema, with users": Installation(schema="ticket_schema", users=True),
    "with users and own indexes": Installation(users=True, keywords=True, indexes=True),
    "a check with a name": Installation(check=f'CONSTRAINT "Status?" {OLD_CHECK}', keywords=True),
    "a check written as ANY": Installation(
        check="CHECK (status = ANY (ARRAY['cancelled', 'confirmed', 'pending']))", indexes=True
    ),
    "another check on the status": Installation(
        more=f"{ALTER} lower_case CHECK (status = lower(status))"
    ),
    "a check on the status and more": Installation(
        more=f"{ALTER} paid CHECK (status <> 'confirmed' OR payment_method IS NOT NULL)"
    ),
    "texts with collations of their own": Installation(
        more="""
            ALTER TABLE events ALTER title TYPE varchar(255) COLLATE "C",
                ALTER venue TYPE varchar(255) COLLATE "POSIX", ALTER address TYPE text COLLATE "C"
        """
    ),
    "up to date": Installation(check=NEW_CHECK, keywords=True, indexes=True),
}
