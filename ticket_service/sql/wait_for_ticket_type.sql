-- Wait for the row of a ticket type for a short time, before expire.sql in the same transaction.
-- Buyers of a ticket type lock its row almost all the time, so expire.sql alone would always skip
-- it. Nothing else is locked during the wait.
--
--   psql -1 -v ... -f wait_for_ticket_type.sql -f expire.sql
--
-- Parameters
--   type_id  uuid  the ticket type
--   wait_ms  int   milliseconds to wait, and then fail (55P03)
--
-- Locks
--   the ticket type
--
-- Verdicts: none.
--
-- Returns an empty row, or none if there is no such ticket type.

-- name: wait_briefly
SELECT set_config('lock_timeout', :'wait_ms'::int::text, true);

-- name: wait_for_ticket_type
SELECT FROM ticket_types WHERE id = :'type_id'::uuid FOR UPDATE;
