-- What every process together has taken from a credential's rates.

CREATE TABLE budgets (
    credential TEXT PRIMARY KEY,
    next_slot DOUBLE PRECISION NOT NULL
);

CREATE TABLE budget_use (
    credential TEXT NOT NULL,
    seconds DOUBLE PRECISION NOT NULL,
    bucket BIGINT NOT NULL,
    used BIGINT NOT NULL,
    PRIMARY KEY (credential, seconds, bucket)
);
