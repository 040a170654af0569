-- The record of every second. Units are milliseconds of audio times the model's multiplier; nothing here is ever changed
-- but `left_ms`, `overdraft` and `applied`, and those only together with the rows that explain the change.

CREATE TABLE grants (                           -- each is an account of its own: burnt in the order of expiry
    id          text PRIMARY KEY,               -- the idempotency key: 'plan:<tenant>:<period>', 'pack:…', 'admin:…'
    tenant      text NOT NULL REFERENCES tenants ON DELETE CASCADE,
    kind        text NOT NULL CHECK (kind IN ('plan', 'package', 'admin', 'refund')),
    ms          bigint NOT NULL CHECK (ms >= 0),
    left_ms     bigint NOT NULL,                -- unchecked: a doubt is for reconcile to report, not to stop the flusher
    expires     timestamptz,                    -- null: never
    created     timestamptz NOT NULL DEFAULT now(),
    note        text NOT NULL DEFAULT '',
    applied     timestamptz                     -- when Redis was told; null: it must still be
);
CREATE INDEX grants_tenant ON grants (tenant, expires);
CREATE INDEX grants_unapplied ON grants (created) WHERE applied IS NULL;

CREATE TABLE entries (                          -- facts about blocks and grants, append-only
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant      text NOT NULL,
    stream      text NOT NULL,                  -- a context or a request; 'grant' for grants
    block       text NOT NULL,                  -- its index; the grant's id
    post        integer NOT NULL,               -- 0 the first post of a block, then corrections
    kind        text NOT NULL CHECK (kind IN ('use', 'late', 'refund', 'grant', 'lapse', 'reverse', 'cover')),
    ms          bigint NOT NULL,                -- charged (+) or given back (-)
    audio_ms    bigint NOT NULL DEFAULT 0,      -- of sound, before the multiplier
    cached      boolean NOT NULL DEFAULT false,
    model       text NOT NULL DEFAULT '',
    voice       text NOT NULL DEFAULT '',
    key_id      text NOT NULL DEFAULT '',
    at          timestamptz NOT NULL,
    recorded    timestamptz NOT NULL DEFAULT now(),
    epoch       bigint NOT NULL DEFAULT 0,
    seq         bigint NOT NULL DEFAULT 0,
    UNIQUE (tenant, stream, block, post)
);
CREATE INDEX entries_usage ON entries (tenant, at);
CREATE INDEX entries_recorded ON entries (recorded);

CREATE TABLE postings (                         -- double entry: the postings of one entry add up to zero
    entry       bigint NOT NULL REFERENCES entries,
    account     text NOT NULL,                  -- 'grant:<id>', 'overdraft:<tenant>', 'open:<tenant>', 'usage', 'issued', 'lapsed', 'reversed'
    ms          bigint NOT NULL,
    PRIMARY KEY (entry, account)
);
CREATE INDEX postings_account ON postings (account);

CREATE TABLE balances (
    account     text PRIMARY KEY,
    ms          bigint NOT NULL
);

CREATE TABLE epochs (                           -- lives of the ledger's Redis
    shard       text PRIMARY KEY,
    epoch       bigint NOT NULL,
    seq         bigint NOT NULL DEFAULT 0,      -- the last that was taken over
    run_id      text NOT NULL DEFAULT '',
    opened      timestamptz NOT NULL DEFAULT now()
);
