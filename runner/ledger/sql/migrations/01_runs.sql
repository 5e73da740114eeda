-- Runs, the flow texts they are pinned to, and what each node left. Times are seconds since 1970, UTC.

CREATE TABLE flow_versions (
    digest TEXT NOT NULL,
    path TEXT NOT NULL,
    name TEXT NOT NULL,
    templates TEXT NOT NULL,
    sources TEXT NOT NULL,
    stored DOUBLE PRECISION NOT NULL,
    PRIMARY KEY (digest, path)
);

CREATE TABLE runs (
    id TEXT PRIMARY KEY,
    flow TEXT NOT NULL,
    digest TEXT NOT NULL,
    path TEXT NOT NULL,
    status TEXT NOT NULL,
    origin TEXT NOT NULL,
    event TEXT NOT NULL,
    event_key TEXT,
    payload TEXT NOT NULL,
    leg INTEGER NOT NULL DEFAULT 0,
    owner TEXT,
    accepted DOUBLE PRECISION NOT NULL,
    started DOUBLE PRECISION,
    ended DOUBLE PRECISION,
    error TEXT
);

CREATE UNIQUE INDEX runs_event_key ON runs (flow, event_key) WHERE event_key IS NOT NULL;

CREATE INDEX runs_by_flow ON runs (flow, status, id);

CREATE INDEX runs_by_end ON runs (ended) WHERE ended IS NOT NULL;

CREATE INDEX runs_by_version ON runs (digest, path);

CREATE TABLE node_results (
    run_id TEXT NOT NULL,
    node TEXT NOT NULL,
    item INTEGER NOT NULL,
    status TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    output TEXT,
    error TEXT,
    at DOUBLE PRECISION NOT NULL,
    PRIMARY KEY (run_id, node, item)
);
