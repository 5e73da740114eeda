-- Batches: a run of a flow for each row of a file, once. A chunk is the stretch of rows that one process works on.

CREATE TABLE batches (
    serial INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    flow TEXT NOT NULL,
    digest TEXT NOT NULL,
    data TEXT NOT NULL,
    facts TEXT NOT NULL,
    chunk INTEGER NOT NULL,
    created DOUBLE PRECISION NOT NULL,
    touched DOUBLE PRECISION NOT NULL
);

CREATE TABLE batch_chunks (
    batch INTEGER NOT NULL,
    number INTEGER NOT NULL,
    owner TEXT,
    done INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (batch, number)
) WITHOUT ROWID;

CREATE TABLE batch_rows (
    batch INTEGER NOT NULL,
    number INTEGER NOT NULL,
    state TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    replies TEXT,
    response TEXT,
    error TEXT,
    at DOUBLE PRECISION NOT NULL,
    PRIMARY KEY (batch, number)
) WITHOUT ROWID;

CREATE INDEX batch_rows_open ON batch_rows (batch, state) WHERE state NOT IN ('sent', 'skipped');
