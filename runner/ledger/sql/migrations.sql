-- name: create
-- The list of what has been applied.
CREATE TABLE IF NOT EXISTS flowpost_migrations (name TEXT PRIMARY KEY, applied DOUBLE PRECISION NOT NULL);

-- name: there
-- Whether a SQLite file has the list.
SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'flowpost_migrations';

-- name: applied
-- The migrations that this database has.
SELECT name FROM flowpost_migrations;

-- name: note
-- One more.
INSERT INTO flowpost_migrations (name, applied) VALUES (:name, :applied);

-- name: lock
-- On PostgreSQL, one process migrates at a time; the number is only ours.
SELECT pg_advisory_xact_lock(7236417023);
