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
