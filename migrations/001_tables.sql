-- The shared tables, for a database that does not have them yet (../docs/mechanisms.md, "The database").
-- A table that exists is not changed.

CREATE OR REPLACE FUNCTION ticket_service_set_updated_at() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.updated_at := clock_timestamp() AT TIME ZONE 'UTC';
    RETURN NEW;
END $$;

DO $$
DECLARE
    missing text[] := ARRAY(
        SELECT name
        FROM unnest(ARRAY['seat_layouts', 'events', 'ticket_types', 'seats', 'reservations']) AS name
        WHERE to_regclass(name) IS NULL
    );
    name text;
BEGIN
    CREATE TABLE IF NOT EXISTS seat_layouts (
        id            uuid PRIMARY KEY DEFAULT gen_random_uuid(),
        name          varchar(100) NOT NULL UNIQUE,
        description   text,
        total_seats   integer NOT NULL,
        layout_config jsonb NOT NULL,
        created_at    timestamp NOT NULL DEFAULT (now() AT TIME ZONE 'UTC'),
        updated_at    timestamp NOT NULL DEFAULT (now() AT TIME ZONE 'UTC')
    );

    CREATE TABLE IF NOT EXISTS events (
        id               uuid PRIMARY KEY DEFAULT gen_random_uuid(),
        title            varchar(255) NOT NULL,
        description      text,
        venue            varchar(255),
        address          text,
        event_date       timestamp NOT NULL,
        sale_start_date  timestamp NOT NULL,
        sale_end_date    timestamp NOT NULL,
        poster_image_url text,
        status           varchar(20) NOT NULL DEFAULT 'upcoming'
                         CHECK (status IN ('upcoming', 'on_sale', 'sold_out', 'ended', 'cancelled')),
        seat_layout_id   uuid REFERENCES seat_layouts (id),
        artist_name      varchar(255),
        pre_scaled       boolean NOT NULL DEFAULT false,
        created_by       uuid,
        created_at       timestamp NOT NULL DEFAULT (now() AT TIME ZONE 'UTC'),
        updated_at       timestamp NOT NULL DEFAULT (now() AT TIME ZONE 'UTC')
    );

    CREATE TABLE IF NOT EXISTS ticket_types (
        id                 uuid PRIMARY KEY DEFAULT gen_random_uuid(),
        event_id           uuid NOT NULL REFERENCES events (id) ON DELETE CASCADE,
        name               varchar(100) NOT NULL,
        price              integer NOT NULL,
        total_quantity     integer NOT NULL,
        available_quantity integer NOT NULL,
        description        text,
        created_at         timestamp NOT NULL DEFAULT (now() AT TIME ZONE 'UTC'),
        updated_at         timestamp NOT NULL DEFAULT (now() AT TIME ZONE 'UTC')
    );

    CREATE TABLE IF NOT EXISTS seats (
        id          uuid PRIMARY KEY DEFAULT gen_random_uuid(),
        event_id    uuid NOT NULL REFERENCES events (id) ON DELETE CASCADE,
        section     varchar(50) NOT NULL,
        row_number  integer NOT NULL,
        seat_number integer NOT NULL,
        seat_label  varchar(20) NOT NULL,
        price       integer NOT NULL,
        status      varchar(20) NOT NULL DEFAULT 'available'
                    CHECK (status IN ('available', 'reserved', 'locked')),
        created_at  timestamp NOT NULL DEFAULT (now() AT TIME ZONE 'UTC'),
        updated_at  timestamp NOT NULL DEFAULT (now() AT TIME ZONE 'UTC'),
        UNIQUE (event_id, section, row_number, seat_number)
    );

    CREATE TABLE IF NOT EXISTS reservations (
        id                 uuid PRIMARY KEY DEFAULT gen_random_uuid(),
        user_id            uuid NOT NULL,
        event_id           uuid REFERENCES events (id) ON DELETE SET NULL,
        reservation_number varchar(50) NOT NULL UNIQUE,
        total_amount       integer NOT NULL,
        status             varchar(20) NOT NULL DEFAULT 'pending'
                           CONSTRAINT reservations_status_check
                           CHECK (status IN ('pending', 'confirmed', 'cancelled', 'expired')),
        payment_method     varchar(50),
        payment_status     varchar(20) NOT NULL DEFAULT 'pending'
                           CHECK (payment_status IN ('pending', 'completed', 'failed', 'refunded')),
        expires_at         timestamp,
        created_at         timestamp NOT NULL DEFAULT (now() AT TIME ZONE 'UTC'),
        updated_at         timestamp NOT NULL DEFAULT (now() AT TIME ZONE 'UTC')
    );

    CREATE TABLE IF NOT EXISTS reservation_items (
        id             uuid PRIMARY KEY DEFAULT gen_random_uuid(),
        reservation_id uuid NOT NULL REFERENCES reservations (id) ON DELETE CASCADE,
        ticket_type_id uuid REFERENCES ticket_types (id),
        seat_id        uuid REFERENCES seats (id) ON DELETE SET NULL,
        quantity       integer NOT NULL,
        unit_price     integer NOT NULL,
        subtotal       integer NOT NULL,
        created_at     timestamp NOT NULL DEFAULT (now() AT TIME ZONE 'UTC')
    );

    CREATE TABLE IF NOT EXISTS keyword_mappings (
        id          uuid PRIMARY KEY DEFAULT gen_random_uuid(),
        korean      varchar(255) NOT NULL,
        english     varchar(255) NOT NULL,
        entity_type varchar(50),
        created_at  timestamp NOT NULL DEFAULT (now() AT TIME ZONE 'UTC'),
        UNIQUE (korean, english)
    );

    FOREACH name IN ARRAY missing LOOP
        EXECUTE format(
            'CREATE TRIGGER %I BEFORE UPDATE ON %I
             FOR EACH ROW EXECUTE FUNCTION ticket_service_set_updated_at()',
            name || '_set_updated_at', name
        );
    END LOOP;
END $$;
