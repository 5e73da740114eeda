-- name: open
-- Take the credential's row, and keep it until the end of the transaction; the clock is read once it is ours.
INSERT INTO budgets (credential, next_slot) VALUES (:credential, 0)
ON CONFLICT (credential) DO UPDATE SET credential = excluded.credential
RETURNING next_slot, flowpost_now() AS now;

-- name: advance
-- From when on the next message may leave.
UPDATE budgets SET next_slot = :next_slot WHERE credential = :credential;

-- name: used
-- What was taken, by period and part of the period.
SELECT seconds, bucket, used FROM budget_use WHERE credential = :credential;

-- name: spent
-- The same, and the clock, for whoever only wants to know.
SELECT seconds, bucket, used, flowpost_now() AS now FROM budget_use WHERE credential = :credential;

-- name: use
-- Take some.
INSERT INTO budget_use (credential, seconds, bucket, used) VALUES (:credential, :seconds, :bucket, :used)
ON CONFLICT (credential, seconds, bucket) DO UPDATE SET used = budget_use.used + excluded.used;

-- name: forget
-- A part of the period that no window reaches any more, or that the clock says is still to come.
DELETE FROM budget_use WHERE credential = :credential AND seconds = :seconds AND bucket = :bucket;

-- name: held
-- Who has how many turns out, and how quickly they are answered at least.
SELECT owner, held, floor, seen FROM budget_held WHERE credential = :credential;

-- name: hold
-- So many turns this process has out now.
INSERT INTO budget_held (credential, owner, held, floor, seen)
VALUES (:credential, :owner, :held, :floor, flowpost_now())
ON CONFLICT (credential, owner) DO UPDATE SET held = excluded.held, floor = excluded.floor, seen = excluded.seen;

-- name: release
-- This process has none, or is gone.
DELETE FROM budget_held WHERE credential = :credential AND owner = :owner;
