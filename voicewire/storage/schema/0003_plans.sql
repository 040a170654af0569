-- What may be had: plans are rows.

CREATE TABLE plans (
    id              text PRIMARY KEY,
    name            text NOT NULL,
    price_cents     integer,                    -- a month; null: by agreement
    currency        text NOT NULL DEFAULT 'USD',
    seconds         bigint,                     -- a month; null: not limited
    requests_minute integer NOT NULL,
    streams         integer NOT NULL,
    request_chars   integer NOT NULL,
    models          text[],                     -- null: all
    rollover_months integer NOT NULL DEFAULT 0, -- how long what is left of a month stays good
    cached_percent  integer NOT NULL DEFAULT 100 CHECK (cached_percent BETWEEN 0 AND 100),
    public          boolean NOT NULL DEFAULT true,
    position        integer NOT NULL DEFAULT 0
);
INSERT INTO plans (id, name, price_cents, seconds, requests_minute, streams, request_chars, public, position) VALUES
    ('free', 'Free', 0, 600, 10, 1, 5000, true, 1),
    ('basic', 'Basic', 1900, 3600, 30, 2, 10000, true, 2),
    ('pro', 'Pro', 7000, 14400, 60, 5, 100000, true, 3),
    ('enterprise', 'Enterprise', NULL, NULL, 600, 100, 1000000, true, 4),
    ('home', 'This server', 0, NULL, 1000000, 1000000, 10000000, false, 0);

CREATE TABLE subscriptions (                    -- every tenant has one
    tenant          text PRIMARY KEY REFERENCES tenants ON DELETE CASCADE,
    plan            text NOT NULL REFERENCES plans,
    period_start    timestamptz NOT NULL,
    period_end      timestamptz NOT NULL,       -- then the next month is granted
    anchor          timestamptz,                -- when the first period began, whose day of the month all have; null: this one
    next_plan       text REFERENCES plans,      -- taken when the period ends
    granted         boolean NOT NULL DEFAULT false,  -- whether the seconds of this period were
    quotas          jsonb NOT NULL DEFAULT '{}' -- what an admin set beside the plan, by the names of its columns
);
CREATE INDEX subscriptions_due ON subscriptions (period_end);
CREATE INDEX subscriptions_ungranted ON subscriptions (tenant) WHERE NOT granted;

CREATE TABLE packages (
    id          text PRIMARY KEY,
    name        text NOT NULL,
    price_cents integer NOT NULL,
    currency    text NOT NULL DEFAULT 'USD',
    seconds     bigint NOT NULL,
    good_days   integer,                        -- null: for ever
    public      boolean NOT NULL DEFAULT true
);

CREATE TABLE multipliers (                      -- what a second of a model costs, in thousandths; missing: 1000
    model       text PRIMARY KEY,
    permille    integer NOT NULL CHECK (permille >= 0)
);

CREATE TABLE voices (                           -- what an operator says of voices, over what engines say
    id          text PRIMARY KEY,               -- the friendly name
    model       text NOT NULL,
    engine_voice text NOT NULL,
    language    text NOT NULL DEFAULT '',
    gender      text NOT NULL DEFAULT '',
    description text NOT NULL DEFAULT '',
    tenant      text REFERENCES tenants ON DELETE CASCADE,  -- null: public
    active      boolean NOT NULL DEFAULT true,
    created     timestamptz NOT NULL DEFAULT now()
);

INSERT INTO tenants (id, name) VALUES ('home', 'This server');
INSERT INTO subscriptions (tenant, plan, period_start, period_end, granted)
    VALUES ('home', 'home', now(), 'infinity', true);
