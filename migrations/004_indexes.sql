-- The indexes that our queries need. An installation that already has an index which begins with
-- the same columns, under whatever name, does not get a second one: each costs every write.

DO $$
DECLARE
    wanted record;
BEGIN
    FOR wanted IN
        SELECT * FROM (VALUES
            ('events',            'sale_start_date, id'),
            ('events',            'status, sale_start_date'),
            ('events',            'status, sale_end_date'),
            ('ticket_types',      'event_id'),
            ('reservations',      'user_id, created_at'),
            ('reservations',      'status, expires_at'),
            ('reservation_items', 'reservation_id'),
            ('reservation_items', 'ticket_type_id'),
            ('reservation_items', 'seat_id')
        ) AS w (table_name, columns)
    LOOP
        IF NOT EXISTS (
            SELECT FROM pg_index i
            WHERE i.indrelid = wanted.table_name::regclass
              AND i.indisvalid
              AND i.indpred IS NULL
              AND (
                  SELECT string_agg(coalesce(a.attname, '?'), ', ' ORDER BY k.position)
                  FROM unnest((i.indkey::int2[])[0:i.indnkeyatts - 1])
                       WITH ORDINALITY AS k (attnum, position)
                  LEFT JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
              ) || ', ' LIKE wanted.columns || ', %'
        ) THEN
            EXECUTE format(
                'CREATE INDEX %I ON %I (%s)',
                'ticket_service_' || wanted.table_name || '_'
                    || replace(wanted.columns, ', ', '_') || '_idx',
                wanted.table_name,
                wanted.columns
            );
        END IF;
    END LOOP;
END $$;
