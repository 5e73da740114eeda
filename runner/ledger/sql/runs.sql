-- name: insert_version
-- Keep the text of a flow and its templates; the same text again changes nothing.
INSERT INTO flow_versions (digest, path, name, templates, sources, stored)
VALUES (:digest, :path, :name, :templates, :sources, flowpost_now())
ON CONFLICT DO NOTHING;

-- name: get_version
-- The text of a flow as it was when a run began.
SELECT digest, path, name, templates, sources FROM flow_versions WHERE digest = :digest AND path = :path;

-- name: insert_run
-- Accept an event; no row comes back when its key is known already.
INSERT INTO runs (id, flow, digest, path, status, origin, event, event_key, payload, accepted)
VALUES (:id, :flow, :digest, :path, :status, :origin, :event, :event_key, :payload, flowpost_now())
ON CONFLICT DO NOTHING
RETURNING id;

-- name: begin_by_hand
-- A run that a command carries to its end in its own process: no leg, until somebody reopens it.
INSERT INTO runs (id, flow, digest, path, status, origin, event, payload, leg, owner, accepted, started)
VALUES (:id, :flow, :digest, :path, 'running', :origin, :event, '', -1, :owner, flowpost_now(), flowpost_now());

-- name: deserted
-- Runs of commands whose process has died.
SELECT id FROM runs WHERE ended IS NULL AND leg < 0
    AND NOT EXISTS (
        SELECT 1 FROM heartbeats WHERE heartbeats.owner = runs.owner AND abs(flowpost_now() - beat) <= :limit
    );

-- name: run_of_key
-- The first run of an idempotency key.
SELECT id, payload FROM runs WHERE flow = :flow AND event_key = :event_key;

-- name: start_run
-- Take a run up: no row comes back when it has ended, or another leg has replaced this one.
UPDATE runs SET status = 'running', owner = :owner, started = coalesce(started, flowpost_now())
WHERE id = :id AND leg = :leg AND ended IS NULL
RETURNING id, flow, digest, path, event, accepted;

-- name: own_run
-- Whether the run is still this process's to go on with.
SELECT 1 FROM runs WHERE id = :id AND leg = :leg AND owner = :owner AND ended IS NULL;

-- name: park_run
-- Leave the rest of the run to a later leg.
UPDATE runs SET status = :status, leg = leg + 1, owner = NULL
WHERE id = :id AND leg = :leg AND owner = :owner AND ended IS NULL
RETURNING leg;

-- name: end_run
-- The run's last word.
UPDATE runs SET status = :status, ended = flowpost_now(), error = :error
WHERE id = :id AND leg = :leg AND owner = :owner AND ended IS NULL
RETURNING id;

-- name: fail_run
-- End a run that nobody could carry to its end.
UPDATE runs SET status = 'failed', ended = flowpost_now(), error = :error
WHERE id = :id AND leg = :leg AND ended IS NULL
RETURNING id;

-- name: cancel_run
-- Stop a run after the node that it is at.
UPDATE runs SET status = 'cancelled', ended = flowpost_now() WHERE id = :id AND ended IS NULL
RETURNING id;

-- name: reopen_run
-- Let an ended run go on in a new leg.
UPDATE runs SET status = 'accepted', ended = NULL, error = NULL, owner = NULL, leg = leg + 1
WHERE id = :id AND ended IS NOT NULL
RETURNING leg;

-- name: get_run
-- One run.
SELECT id, flow, digest, path, status, origin, event, event_key, leg, owner, accepted, started, ended, error
FROM runs WHERE id = :id;

-- name: list_runs
-- The newest runs first; ids sort by time. A message in the middle of being sent is unknown when its run has ended, or
-- the process that was sending it shows no life.
SELECT id, flow, status, origin, leg, accepted, started, ended, error,
    EXISTS (
        SELECT 1 FROM deliveries WHERE deliveries.run_id = runs.id AND (
            state = 'unknown' OR (state = 'sending' AND (runs.ended IS NOT NULL OR NOT EXISTS (
                SELECT 1 FROM heartbeats WHERE abs(flowpost_now() - beat) <= :dead
                    AND substr(deliveries.owner, 1, length(heartbeats.owner) + 1) = heartbeats.owner || '#'
            )))
        )
    ) AS unknown
FROM runs
WHERE (CAST(:flow AS TEXT) IS NULL OR flow = :flow)
    AND (CAST(:status AS TEXT) IS NULL OR status = :status)
    AND (CAST(:before AS TEXT) IS NULL OR id < :before)
ORDER BY id DESC LIMIT :limit;

-- name: list_unknown
-- Of these, those with such a message; begun at the few messages that are open.
SELECT id, flow, status, origin, leg, accepted, started, ended, error, 1 AS unknown
FROM runs
JOIN (
    SELECT run_id, max(CASE WHEN state = 'unknown' OR NOT EXISTS (
        SELECT 1 FROM heartbeats WHERE abs(flowpost_now() - beat) <= :dead
            AND substr(deliveries.owner, 1, length(heartbeats.owner) + 1) = heartbeats.owner || '#'
    ) THEN 1 ELSE 0 END) AS lost
    FROM deliveries WHERE state IN ('sending', 'unknown') GROUP BY run_id
) AS open ON open.run_id = runs.id
WHERE (lost = 1 OR ended IS NOT NULL)
    AND (CAST(:flow AS TEXT) IS NULL OR flow = :flow)
    AND (CAST(:status AS TEXT) IS NULL OR status = :status)
    AND (CAST(:before AS TEXT) IS NULL OR id < :before)
ORDER BY id DESC LIMIT :limit;

-- name: count_runs
-- How many runs have which status.
SELECT status, count(*) AS number FROM runs GROUP BY status;

-- name: count_open
-- How many runs under way have which status; as quick as they are few, however long the history is.
SELECT status, count(*) AS number FROM runs WHERE ended IS NULL GROUP BY status;

-- name: put_result
-- What a node, or one item of its list, came to.
INSERT INTO node_results (run_id, node, item, status, attempts, output, error, at)
VALUES (:run_id, :node, :item, :status, :attempts, :output, :error, flowpost_now())
ON CONFLICT (run_id, node, item) DO UPDATE
SET status = excluded.status, attempts = excluded.attempts, output = excluded.output, error = excluded.error,
    at = excluded.at;

-- name: get_results
-- What the nodes of a run have left so far, in the order they ended.
SELECT node, item, status, attempts, output, error, at FROM node_results WHERE run_id = :run_id ORDER BY at, item;

-- name: forget_failures
-- Let the nodes that failed or were skipped run again.
DELETE FROM node_results WHERE run_id = :run_id AND status <> 'succeeded';

-- name: forget_node
-- Let one node run again.
DELETE FROM node_results WHERE run_id = :run_id AND node = :node AND status <> 'succeeded';

-- name: old_runs
-- Runs that ended long ago, a batch of them; one with an unknown delivery stays until that is resolved.
SELECT id FROM runs WHERE ended < flowpost_now() - :age
    AND NOT EXISTS (
        SELECT 1 FROM deliveries WHERE deliveries.run_id = runs.id AND state IN ('sending', 'unknown')
    )
LIMIT :limit;

-- name: delete_results
-- With their run, its results go.
DELETE FROM node_results WHERE run_id = :run_id;

-- name: delete_deliveries
-- With their run, its deliveries go.
DELETE FROM deliveries WHERE run_id = :run_id;

-- name: delete_run
-- The run itself.
DELETE FROM runs WHERE id = :run_id;

-- name: delete_versions
-- Texts of flows that no run is pinned to; young ones stay, since a run may be about to need them.
DELETE FROM flow_versions WHERE stored < flowpost_now() - 3600
    AND NOT EXISTS (
        SELECT 1 FROM runs WHERE runs.digest = flow_versions.digest AND runs.path = flow_versions.path
    );
