-- name: of_run
-- Every message of a run.
SELECT id, node, credential, state, attempts, wanted, recipients, response, error, at
FROM deliveries WHERE run_id = :run_id ORDER BY id;

-- name: unknown_of_run
-- Messages of a run that may or may not have been delivered.
SELECT id, node FROM deliveries WHERE run_id = :run_id AND state IN ('unknown', 'sending') ORDER BY id;

-- name: resolve_resend
-- A person decided that it did not arrive.
UPDATE deliveries SET state = 'pending', at = flowpost_now() WHERE id = :id;

-- name: resolve_sent
-- A person decided that it did arrive.
UPDATE deliveries SET state = 'resolved', response = 'resolved as sent', at = flowpost_now() WHERE id = :id;

-- name: get
-- One message, as it stands.
SELECT state, owner, attempts, recipients, response FROM deliveries WHERE id = :id;

-- name: insert
-- The intent to send a new message; no row comes back when another was quicker.
INSERT INTO deliveries (id, run_id, node, credential, state, owner, attempts, wanted, recipients, response, at)
VALUES (:id, :run_id, :node, :credential, 'sending', :owner, 1, :wanted, '{}', '', flowpost_now())
ON CONFLICT DO NOTHING
RETURNING id;

-- name: claim
-- The intent to send a known message again; no row comes back when it has changed meanwhile.
UPDATE deliveries
SET state = 'sending', owner = :owner, attempts = attempts + 1, wanted = :wanted, at = flowpost_now()
WHERE id = :id AND state = :state AND attempts = :attempts
RETURNING id;

-- name: hold
-- Whoever was sending it is gone, in the middle of it.
UPDATE deliveries SET state = 'unknown', at = flowpost_now()
WHERE id = :id AND state = 'sending' AND attempts = :attempts;

-- name: hold_run
-- The same, for every message of a run whose process is gone.
UPDATE deliveries SET state = 'unknown', at = flowpost_now() WHERE run_id = :run_id AND state = 'sending';

-- name: settle
-- What came of the attempt that this owner began; a later attempt's row stays as it is.
UPDATE deliveries
SET state = :state, recipients = :recipients, response = :response, error = :error, at = flowpost_now()
WHERE id = :id AND owner = :owner;

-- name: count
-- How many messages are in which state.
SELECT state, count(*) AS number FROM deliveries GROUP BY state;
