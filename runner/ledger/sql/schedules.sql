-- name: marks
-- Until when the ticks of each schedule are dealt with.
SELECT identity, done FROM schedules;

-- name: mark
-- Machines write side by side, and the latest moment holds; but one that is yet to come was written under a wrong clock.
INSERT INTO schedules (identity, done, seen) VALUES (:identity, :done, flowpost_now())
ON CONFLICT (identity) DO UPDATE SET
    done = CASE
        WHEN schedules.done > excluded.done AND schedules.done <= flowpost_now() + :slack THEN schedules.done
        ELSE excluded.done
    END,
    seen = excluded.seen;

-- name: unmark
-- The schedule is no longer in any flow.
DELETE FROM schedules WHERE identity = :identity;

-- name: forget
-- Schedules that no service has had for so long.
DELETE FROM schedules WHERE seen < flowpost_now() - :age;
