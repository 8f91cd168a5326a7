-- The oldest installations have a CHECK on reservations.status that does not know 'expired'.
-- The wider one accepts every row that the old one did, so the other programs notice nothing. The
-- rows are not read here, while the table is locked: 003 does that.

DO $$
DECLARE
    narrow name;
BEGIN
    FOR narrow IN
        SELECT c.conname
        FROM pg_constraint c
        JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = ANY (c.conkey)
        WHERE c.conrelid = 'reservations'::regclass
          AND c.contype = 'c'
          AND cardinality(c.conkey) = 1
          AND a.attname = 'status'
          AND pg_get_constraintdef(c.oid) LIKE '%''pending''%'
          AND pg_get_constraintdef(c.oid) NOT LIKE '%''expired''%'
    LOOP
        EXECUTE format('ALTER TABLE reservations DROP CONSTRAINT %I', narrow);
        EXECUTE format(
            'ALTER TABLE reservations ADD CONSTRAINT %I
             CHECK (status IN (''pending'', ''confirmed'', ''cancelled'', ''expired'')) NOT VALID',
            narrow
        );
    END LOOP;
END $$;
