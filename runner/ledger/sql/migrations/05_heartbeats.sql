-- One row a living process. A process whose row is old, or gone, is dead, and its runs are taken over.

CREATE TABLE heartbeats (
    owner TEXT PRIMARY KEY,
    node TEXT NOT NULL,
    started DOUBLE PRECISION NOT NULL,
    beat DOUBLE PRECISION NOT NULL
);
