-- One row a message: what was meant to be sent, and what came of it for each recipient.

CREATE TABLE deliveries (
    id TEXT PRIMARY KEY,
    run_id TEXT NOT NULL,
    node TEXT NOT NULL,
    credential TEXT NOT NULL,
    state TEXT NOT NULL,
    owner TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    wanted TEXT NOT NULL,
    recipients TEXT NOT NULL,
    response TEXT NOT NULL,
    error TEXT,
    at DOUBLE PRECISION NOT NULL
);

CREATE INDEX deliveries_by_run ON deliveries (run_id);

CREATE INDEX deliveries_open ON deliveries (state, run_id) WHERE state IN ('sending', 'unknown');
