-- Until when the ticks of each schedule are dealt with, for all machines; and ways to what is under way.

CREATE TABLE schedules (
    identity TEXT PRIMARY KEY,
    done DOUBLE PRECISION NOT NULL,
    seen DOUBLE PRECISION NOT NULL
);

CREATE INDEX runs_open ON runs (status, leg) WHERE ended IS NULL;
