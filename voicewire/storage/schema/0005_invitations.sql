-- Who was asked to be a member of a tenant, and has not said yes.

CREATE TABLE invitations (                      -- one link each, good once; asked again: a new one
    tenant      text NOT NULL REFERENCES tenants ON DELETE CASCADE,
    user_id     text NOT NULL REFERENCES users ON DELETE CASCADE,
    role        text NOT NULL CHECK (role IN ('owner', 'member')),
    actor       text NOT NULL,                  -- who asked
    token_hash  text NOT NULL UNIQUE,
    created     timestamptz NOT NULL,
    expires     timestamptz NOT NULL,
    PRIMARY KEY (tenant, user_id)
);
CREATE INDEX invitations_user ON invitations (user_id);
