-- Give events the status that fits the current time and what is left.
--
-- Parameters
--   event_ids  uuid[]  the events to look at; a cancelled event keeps its status
--
-- Locks
--   the events, except those that others have locked. NO KEY, so that a new reservation, which has
--   a foreign key to its event, need not wait.
--
-- Verdicts: none.
--
-- Returns a row for each event whose status changed
--   event_id  text
--   status    text  the new one

-- name: settle_events
WITH event AS MATERIALIZED (
    SELECT id, status, sale_start_date, sale_end_date FROM events
    WHERE id = ANY (:'event_ids'::uuid[]) AND status <> 'cancelled'
    FOR NO KEY UPDATE SKIP LOCKED
),
right_now AS (
    SELECT id, status, CASE
        WHEN sale_end_date <= statement_timestamp() AT TIME ZONE 'UTC' THEN 'ended'
        WHEN sale_start_date > statement_timestamp() AT TIME ZONE 'UTC' THEN 'upcoming'
        WHEN EXISTS (SELECT FROM seats s WHERE s.event_id = event.id
                     AND s.status = 'available')
            OR EXISTS (SELECT FROM ticket_types t WHERE t.event_id = event.id
                       AND t.available_quantity > 0)
            THEN 'on_sale'
        WHEN EXISTS (SELECT FROM seats s WHERE s.event_id = event.id)
            OR EXISTS (SELECT FROM ticket_types t WHERE t.event_id = event.id)
            THEN 'sold_out'
        WHEN status IN ('upcoming', 'ended') THEN 'on_sale'
        ELSE status
    END AS status_now
    FROM event
)
UPDATE events e SET status = right_now.status_now
FROM right_now WHERE e.id = right_now.id AND right_now.status <> right_now.status_now
RETURNING e.id::text AS event_id, e.status;
