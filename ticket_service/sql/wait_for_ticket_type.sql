-- Stand in line for a ticket type's row, for a short time, before expire.sql in one transaction:
-- the buyers of a ticket type hardly ever leave its row alone. Nothing else is locked meanwhile.
--
--   psql -1 -v ... -f wait_for_ticket_type.sql -f expire.sql
--
-- Parameters
--   type_id  uuid  the ticket type
--   wait_ms  int   milliseconds to wait; then it is an error (55P03)
--
-- Locks
--   the ticket type
--
-- Verdicts: none.
--
-- Returns an empty row; none where there is no such ticket type.

-- name: wait_briefly
SELECT set_config('lock_timeout', :'wait_ms'::int::text, true);

-- name: wait_for_ticket_type
SELECT FROM ticket_types WHERE id = :'type_id'::uuid FOR UPDATE;
