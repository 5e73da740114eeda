-- name: insert
-- A new batch; no row comes back when there is one of that id.
INSERT INTO batches (id, flow, digest, data, facts, chunk, created, touched)
VALUES (:id, :flow, :digest, :data, :facts, :chunk, flowpost_now(), flowpost_now())
ON CONFLICT (id) DO NOTHING;

-- name: get
-- One batch.
SELECT serial, id, flow, digest, data, facts, chunk, created FROM batches WHERE id = :id;

-- name: change
-- Somebody goes on with it, with this version of the flow.
UPDATE batches SET digest = :digest, facts = :facts, touched = flowpost_now() WHERE serial = :batch;

-- name: free_chunk
-- A chunk that somebody left or died at.
SELECT number, coalesce(owner, '') AS owner FROM batch_chunks
WHERE batch = :batch AND done = 0 AND number < :bound
    AND (
        owner IS NULL
        OR owner <> :owner AND (
            :alone = 1
            OR owner NOT IN (SELECT owner FROM heartbeats WHERE abs(flowpost_now() - beat) <= :limit)
        )
    )
ORDER BY number LIMIT 1;

-- name: take_chunk
-- Take over a chunk; no row comes back when another was quicker.
UPDATE batch_chunks SET owner = :owner
WHERE batch = :batch AND number = :number AND done = 0 AND coalesce(owner, '') = :seen
RETURNING number;

-- name: new_chunk
-- The next chunk that nobody has begun; no row comes back at the end of the data, or when another was quicker.
INSERT INTO batch_chunks (batch, number, owner, done)
SELECT :batch, coalesce(max(number), -1) + 1, :owner, 0 FROM batch_chunks WHERE batch = :batch
HAVING coalesce(max(number), -1) + 1 < :bound
ON CONFLICT (batch, number) DO NOTHING
RETURNING number;

-- name: open_chunks
-- How many of them are not done.
SELECT count(*) AS number FROM batch_chunks WHERE batch = :batch AND number < :bound AND done = 0;

-- name: hold_chunks
-- Chunks that are this process's, kept so until the end of the transaction.
UPDATE batch_chunks SET owner = owner WHERE batch = :batch AND owner = :owner AND done = 0 RETURNING number;

-- name: finish_chunk
-- Every row of it has an outcome.
UPDATE batch_chunks SET done = 1, owner = NULL WHERE batch = :batch AND number = :number AND owner = :owner;

-- name: release_chunks
-- Leave the rest to whoever comes.
UPDATE batch_chunks SET owner = NULL WHERE batch = :batch AND owner = :owner AND done = 0;

-- name: hold_rows
-- Whoever was sending these is gone, in the middle of it.
UPDATE batch_rows SET state = 'unknown', at = flowpost_now()
WHERE batch = :batch AND state = 'sending' AND number BETWEEN :first AND :last;

-- name: sending_rows
-- Rows whose intent stands, and who had them.
SELECT row.number, chunk.owner FROM batch_rows AS row
JOIN batch_chunks AS chunk ON chunk.batch = row.batch AND chunk.number = (row.number - 1) / :chunk
WHERE row.batch = :batch AND row.state = 'sending';

-- name: rows
-- What is known of a stretch of rows.
SELECT number, state, attempts, replies, response, error FROM batch_rows
WHERE batch = :batch AND number BETWEEN :first AND :last;

-- name: put_rows_sqlite
-- Where many rows stand, in one statement: a thread that steps row by row would wait for the interpreter's lock at each,
-- as it would for each look at the clock. The OFFSET makes SQLite write each row's JSON once, not once a column.
INSERT INTO batch_rows (batch, number, state, attempts, replies, response, error, at)
SELECT :batch, json_extract(value, '$[0]'), json_extract(value, '$[1]'), json_extract(value, '$[2]'),
    json_extract(value, '$[3]'), json_extract(value, '$[4]'), json_extract(value, '$[5]'), (SELECT flowpost_now())
FROM (SELECT value FROM json_each(:rows) LIMIT -1 OFFSET 0) WHERE true
ON CONFLICT (batch, number) DO UPDATE
SET state = excluded.state, attempts = excluded.attempts, replies = excluded.replies, response = excluded.response,
    error = excluded.error, at = excluded.at;

-- name: put_rows_postgresql
-- The same.
INSERT INTO batch_rows (batch, number, state, attempts, replies, response, error, at)
SELECT :batch, CAST(value->>0 AS BIGINT), value->>1, CAST(value->>2 AS INTEGER), value->>3, value->>4, value->>5,
    flowpost_now()
FROM json_array_elements(CAST(:rows AS JSON)) AS value
ON CONFLICT (batch, number) DO UPDATE
SET state = excluded.state, attempts = excluded.attempts, replies = excluded.replies, response = excluded.response,
    error = excluded.error, at = excluded.at;

-- name: tally
-- How many rows are in which state.
SELECT state, count(*) AS number FROM batch_rows WHERE batch = :batch AND number <= :last GROUP BY state;

-- name: unknown_rows
-- Rows that may or may not have been delivered.
SELECT number FROM batch_rows
WHERE batch = :batch AND state = 'unknown' AND number BETWEEN :first AND :last ORDER BY number;

-- name: decide_row
-- Somebody knows better about one of them.
UPDATE batch_rows
SET state = :state, attempts = CASE WHEN :state = 'pending' THEN 0 ELSE attempts END, response = :response,
    error = NULL, at = flowpost_now()
WHERE batch = :batch AND number = :number AND state = 'unknown';

-- name: reopen
-- Let rows of one state be tried again.
UPDATE batch_rows SET state = 'pending', attempts = 0, at = flowpost_now()
WHERE batch = :batch AND state = :state AND number <= :last;

-- name: reopen_chunks
-- The chunks of rows that are to be tried again.
UPDATE batch_chunks SET done = 0, owner = NULL
WHERE batch = :batch AND done = 1 AND number IN (
    SELECT (number - 1) / :chunk FROM batch_rows WHERE batch = :batch AND state = 'pending'
);
