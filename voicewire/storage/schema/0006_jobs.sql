-- What is spoken without a listener: jobs, their texts, and who is told when one is over. Times are this server's own.

CREATE TABLE jobs (
    id          text PRIMARY KEY,
    tenant      text NOT NULL REFERENCES tenants ON DELETE CASCADE,
    kind        text NOT NULL CHECK (kind IN ('speech', 'batch')),
    state       text NOT NULL DEFAULT 'queued' CHECK (state IN ('queued', 'running', 'done', 'failed', 'cancelled')),
    caller      jsonb NOT NULL,                 -- who asked: looked at again whenever a text is begun
    once        text,                           -- the caller's Idempotency-Key …
    asked       text NOT NULL,                  -- … and the SHA-256 of what was asked with it
    created     timestamptz NOT NULL DEFAULT now(),
    started     timestamptz,
    finished    timestamptz,
    expires     timestamptz NOT NULL
);
CREATE UNIQUE INDEX jobs_once ON jobs (tenant, once);
CREATE INDEX jobs_latest ON jobs (tenant, created DESC, id DESC);
CREATE INDEX jobs_expires ON jobs (expires);

CREATE TABLE job_items (                        -- one text each
    job         text NOT NULL REFERENCES jobs ON DELETE CASCADE,
    number      integer NOT NULL,               -- from 0
    tenant      text NOT NULL,
    name        text NOT NULL DEFAULT '',       -- the caller's own
    model       text NOT NULL,
    manner      jsonb NOT NULL,                 -- how it is to be spoken
    text        text NOT NULL,
    state       text NOT NULL DEFAULT 'queued' CHECK (state IN ('queued', 'running', 'done', 'failed', 'cancelled')),
    due         timestamptz NOT NULL DEFAULT now(),     -- when it may be begun, or is no longer somebody's
    epoch       integer NOT NULL DEFAULT 0,     -- how often it was taken up: who has an older one has lost it
    tries       integer NOT NULL DEFAULT 0,     -- of which ended badly
    blocks      integer[] NOT NULL DEFAULT '{}',        -- of each part that is spoken and billed
    samples     bigint NOT NULL DEFAULT 0,      -- kept of these parts …
    words_bytes bigint NOT NULL DEFAULT 0,
    estimate_ms bigint NOT NULL,
    done_ms     bigint NOT NULL DEFAULT 0,
    size_bytes  bigint NOT NULL DEFAULT 0,      -- of the file; 0: there is none, or none any more
    sha256      text NOT NULL DEFAULT '',
    error       text NOT NULL DEFAULT '',       -- a code of the table of errors …
    reason      text NOT NULL DEFAULT '',       -- … and its message
    PRIMARY KEY (job, number)
);
CREATE INDEX job_items_waiting ON job_items (tenant, due) WHERE state IN ('queued', 'running');
CREATE INDEX job_items_kept ON job_items (tenant) WHERE size_bytes > 0;

CREATE TABLE webhooks (                         -- what is to be told of a job, once it is over
    id          text PRIMARY KEY,
    job         text NOT NULL UNIQUE REFERENCES jobs ON DELETE CASCADE,
    tenant      text NOT NULL,
    url         text NOT NULL,
    state       text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'due', 'delivered', 'given_up')),
    due         timestamptz,
    tries       integer NOT NULL DEFAULT 0,
    status      integer NOT NULL DEFAULT 0      -- what the receiver answered last; 0: nothing
);
CREATE INDEX webhooks_due ON webhooks (due) WHERE state = 'due';
