-- name: owners
-- Every process that runs under way belong to; those of commands, without a leg, are not the engine's.
SELECT DISTINCT owner FROM runs WHERE ended IS NULL AND status = 'running' AND leg >= 0 AND owner IS NOT NULL;

-- name: victims
-- What a process was carrying when it died; whoever comes second gets none.
UPDATE runs SET status = 'accepted', owner = NULL
WHERE ended IS NULL AND status = 'running' AND leg >= 0 AND owner = :owner
RETURNING id, leg;

-- name: record
-- What is known against a run, and how far it has got by now.
SELECT (SELECT count(*) FROM node_results WHERE node_results.run_id = :run_id AND status <> 'waiting') AS reached,
    deaths.deaths, deaths.alone, deaths.progress
FROM (SELECT 1 AS one) AS always LEFT JOIN deaths ON deaths.run_id = :run_id;

-- name: note
-- One more death.
INSERT INTO deaths (run_id, deaths, alone, progress) VALUES (:run_id, :deaths, :alone, :progress)
ON CONFLICT (run_id) DO UPDATE
SET deaths = excluded.deaths, alone = excluded.alone, progress = excluded.progress;

-- name: next_leg
-- Another leg in the place of the one that the process died at.
UPDATE runs SET leg = leg + 1 WHERE id = :id RETURNING leg;

-- name: clear
-- Nothing is held against a run that has ended, also when somebody begins it again.
DELETE FROM deaths WHERE NOT EXISTS (SELECT 1 FROM runs WHERE runs.id = deaths.run_id AND runs.ended IS NULL);
