-- Who may speak: tenants, their people and their keys. Every row belongs to a tenant, and no query crosses tenants.

CREATE TABLE tenants (
    id          text PRIMARY KEY,
    name        text NOT NULL,
    created     timestamptz NOT NULL DEFAULT now(),
    suspended   timestamptz
);

CREATE TABLE users (
    id              text PRIMARY KEY,
    email           text NOT NULL,
    email_verified  timestamptz,
    password_hash   text,                       -- argon2id; null: signs in through an issuer only
    name            text NOT NULL DEFAULT '',
    role            text NOT NULL DEFAULT 'creator' CHECK (role IN ('creator', 'admin')),
    created         timestamptz NOT NULL DEFAULT now(),
    suspended       timestamptz,
    last_login      timestamptz
);
CREATE UNIQUE INDEX users_email ON users (lower(email));

CREATE TABLE members (
    tenant  text NOT NULL REFERENCES tenants ON DELETE CASCADE,
    user_id text NOT NULL REFERENCES users ON DELETE CASCADE,
    role    text NOT NULL DEFAULT 'owner' CHECK (role IN ('owner', 'member')),
    created timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant, user_id)
);
CREATE INDEX members_user ON members (user_id);

CREATE TABLE identities (                       -- a person as an OIDC issuer knows them
    issuer  text NOT NULL,
    subject text NOT NULL,
    user_id text NOT NULL REFERENCES users ON DELETE CASCADE,
    created timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (issuer, subject)
);

CREATE TABLE logins (                           -- one refresh token each, replaced at every use
    id          text PRIMARY KEY,
    user_id     text NOT NULL REFERENCES users ON DELETE CASCADE,
    tenant      text NOT NULL REFERENCES tenants ON DELETE CASCADE,
    token_hash  text NOT NULL,
    created     timestamptz NOT NULL DEFAULT now(),
    used        timestamptz NOT NULL DEFAULT now(),
    expires     timestamptz NOT NULL,
    ended       timestamptz
);
CREATE INDEX logins_user ON logins (user_id);

CREATE TABLE mailed (                           -- links that were mailed: each good once
    token_hash  text PRIMARY KEY,
    purpose     text NOT NULL CHECK (purpose IN ('verify', 'password')),
    user_id     text NOT NULL REFERENCES users ON DELETE CASCADE,
    password_hash text,                         -- chosen at sign-up: counts once this very link was followed
    name        text NOT NULL DEFAULT '',       -- likewise
    created     timestamptz NOT NULL DEFAULT now(),
    expires     timestamptz NOT NULL,
    used        timestamptz
);
CREATE INDEX mailed_user ON mailed (user_id);

CREATE TABLE keys (
    id          text PRIMARY KEY,
    tenant      text NOT NULL REFERENCES tenants ON DELETE CASCADE,
    user_id     text REFERENCES users ON DELETE SET NULL,   -- who made it
    hash        text NOT NULL,                  -- HMAC-SHA256 with the pepper, hex
    environment text NOT NULL CHECK (environment IN ('live', 'test')),
    label       text NOT NULL DEFAULT '',
    scopes      text[] NOT NULL,
    limits      jsonb,                          -- null: the plan's; else what is lower
    created     timestamptz NOT NULL DEFAULT now(),
    expires     timestamptz,                    -- set on rotation: the overlap's end
    revoked     timestamptz,
    last_used   timestamptz,
    replaces    text REFERENCES keys ON DELETE SET NULL
);
CREATE INDEX keys_tenant ON keys (tenant, created);

CREATE TABLE terms (                            -- accepted, by whom and in which version
    tenant      text NOT NULL REFERENCES tenants ON DELETE CASCADE,
    key_id      text NOT NULL DEFAULT '',       -- '': by a person
    user_id     text NOT NULL DEFAULT '',
    version     text NOT NULL,
    accepted    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant, key_id, user_id, version)
);

CREATE TABLE audit (
    id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at      timestamptz NOT NULL DEFAULT now(),
    tenant  text NOT NULL,
    actor   text NOT NULL,                      -- 'user:…', 'key:…', 'operator'
    action  text NOT NULL,                      -- of the table of actions
    subject text NOT NULL DEFAULT '',
    details jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX audit_tenant ON audit (tenant, id DESC);
