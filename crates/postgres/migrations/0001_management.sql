-- What the management plane keeps: tenants, endpoints with their secrets, subscriptions, API keys,
-- the outbox that the relay publishes, and the audit log.
--
-- Documents that come from users are `json`, not `jsonb`: their text is kept as it was written, and what
-- jsonb can't hold (NUL in a string, numbers of 200,000 digits) is not an error.

CREATE TABLE tenants (
    id         text PRIMARY KEY,
    name       text NOT NULL,
    version    bigint NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);

CREATE TABLE endpoints (
    id              text PRIMARY KEY,
    tenant_id       text NOT NULL REFERENCES tenants (id),
    name            text NOT NULL,
    description     text NOT NULL,
    -- The URL may carry a secret in its path or query: sealed, with its origin alone in the clear.
    url_sealed      bytea NOT NULL,
    url_origin      text NOT NULL,
    enabled         boolean NOT NULL,
    -- Bumped by enabling and by a change of the URL: only a newer one clears an automatic disable.
    enabled_version bigint NOT NULL,
    timeout_ms      integer NOT NULL,
    retry           json NOT NULL,
    version         bigint NOT NULL,
    created_at      timestamptz NOT NULL,
    updated_at      timestamptz NOT NULL
);
CREATE INDEX endpoints_by_tenant ON endpoints (tenant_id, id);

CREATE TABLE endpoint_secrets (
    id          text PRIMARY KEY,
    tenant_id   text NOT NULL,
    endpoint_id text NOT NULL REFERENCES endpoints (id) ON DELETE CASCADE,
    sealed      bytea NOT NULL,
    created_at  timestamptz NOT NULL,
    expires_at  timestamptz
);
CREATE INDEX endpoint_secrets_by_endpoint ON endpoint_secrets (tenant_id, endpoint_id, id);

CREATE TABLE subscriptions (
    id          text PRIMARY KEY,
    tenant_id   text NOT NULL,
    endpoint_id text NOT NULL REFERENCES endpoints (id),
    event_types text[] NOT NULL,
    filter      json,
    version     bigint NOT NULL,
    created_at  timestamptz NOT NULL,
    updated_at  timestamptz NOT NULL
);
CREATE INDEX subscriptions_by_tenant ON subscriptions (tenant_id, id);
CREATE INDEX subscriptions_by_endpoint ON subscriptions (endpoint_id, id);

CREATE TABLE api_keys (
    id           text PRIMARY KEY,
    -- Null: an operator key, which may act for every tenant.
    tenant_id    text REFERENCES tenants (id) ON DELETE CASCADE,
    name         text NOT NULL,
    prefix       text NOT NULL UNIQUE,
    hash         bytea NOT NULL,
    scopes       text[] NOT NULL,
    created_at   timestamptz NOT NULL,
    expires_at   timestamptz,
    revoked_at   timestamptz,
    last_used_at timestamptz
);
CREATE INDEX api_keys_by_tenant ON api_keys (tenant_id, id);

-- Changes that the relay has yet to publish, in order. `body` is a domain `ConfigBody`.
CREATE TABLE outbox (
    id             bigserial PRIMARY KEY,
    entity_id      text NOT NULL,
    entity_version bigint NOT NULL,
    body           json NOT NULL,
    created_at     timestamptz NOT NULL DEFAULT now()
);

CREATE FUNCTION notify_outbox() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('postrider_outbox', '');
    RETURN NULL;
END
$$;
CREATE TRIGGER outbox_notify AFTER INSERT ON outbox FOR EACH STATEMENT EXECUTE FUNCTION notify_outbox();

-- Who changed what. No foreign keys: it outlives what it is about.
CREATE TABLE audit_log (
    id          bigserial PRIMARY KEY,
    at          timestamptz NOT NULL,
    tenant_id   text,
    -- The id of the API key, or `cli` for a command run beside the database.
    actor       text NOT NULL,
    action      text NOT NULL,
    entity_id   text NOT NULL,
    before      json,
    after       json,
    remote_addr inet
);
CREATE INDEX audit_log_by_tenant ON audit_log (tenant_id, id);
