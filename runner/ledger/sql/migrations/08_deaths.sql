-- Runs that were under way when their process died, and have not got on since: which of them kills it is to be found.

CREATE TABLE deaths (
    run_id TEXT PRIMARY KEY,
    deaths INTEGER NOT NULL,
    alone INTEGER NOT NULL,
    progress BIGINT NOT NULL
);
