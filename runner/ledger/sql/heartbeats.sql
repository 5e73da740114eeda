-- name: beat
-- This process lives.
INSERT INTO heartbeats (owner, node, started, beat) VALUES (:owner, :node, flowpost_now(), flowpost_now())
ON CONFLICT (owner) DO UPDATE SET beat = flowpost_now();

-- name: leave
-- This process has ended in order.
DELETE FROM heartbeats WHERE owner = :owner;

-- name: living
-- Processes whose last beat is fresh. A beat in the future, left by a clock set back, counts for as long as a late one.
SELECT owner FROM heartbeats WHERE abs(flowpost_now() - beat) <= :limit;

-- name: fresh
-- The same, with where they run.
SELECT owner, node FROM heartbeats WHERE abs(flowpost_now() - beat) <= :limit;

-- name: bury
-- Rows of processes that are long gone.
DELETE FROM heartbeats WHERE abs(flowpost_now() - beat) > :limit;
