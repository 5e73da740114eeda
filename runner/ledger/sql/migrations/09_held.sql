-- Turns of a credential's rates that each process has out: promised to messages, or under way with them.

CREATE TABLE budget_held (
    credential TEXT NOT NULL,
    owner TEXT NOT NULL,
    held BIGINT NOT NULL,
    floor DOUBLE PRECISION NOT NULL,
    seen DOUBLE PRECISION NOT NULL,
    PRIMARY KEY (credential, owner)
);
