-- Row-level security: a second wall between tenants. The service works as a role that owns nothing and can't bypass
-- the policies; each transaction says in `postrider.tenant` whose rows it sees: a tenant's id, or `*` for the whole
-- deployment (operators, relay, projector). Without the setting there is nothing to be seen.

-- Roles belong to the whole server: another database of Postrider's may have made it already.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'postrider_service') THEN
        CREATE ROLE postrider_service NOLOGIN;
    END IF;
EXCEPTION
    WHEN duplicate_object OR unique_violation THEN NULL; -- made meanwhile
    WHEN insufficient_privilege THEN
        RAISE EXCEPTION 'the role postrider_service is missing, and this user may not make it'
            USING HINT = 'let an administrator run: CREATE ROLE postrider_service NOLOGIN';
END
$$;
-- So that the owner can work as the service does, where the service has no login of its own.
DO $$
BEGIN
    IF NOT pg_has_role(current_user, 'postrider_service', 'MEMBER') THEN
        EXECUTE format('GRANT postrider_service TO %I', current_user);
    END IF;
EXCEPTION
    WHEN insufficient_privilege THEN NULL; -- then it needs a login of its own, and says so when it starts
END
$$;

DO $$
BEGIN
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO postrider_service', current_schema());
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA %I TO postrider_service', current_schema());
    EXECUTE format('GRANT USAGE ON ALL SEQUENCES IN SCHEMA %I TO postrider_service', current_schema());
    -- What later migrations make is the service's to use as well.
    EXECUTE format('ALTER DEFAULT PRIVILEGES IN SCHEMA %I GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO postrider_service', current_schema());
    EXECUTE format('ALTER DEFAULT PRIVILEGES IN SCHEMA %I GRANT USAGE ON SEQUENCES TO postrider_service', current_schema());
    IF to_regclass('_sqlx_migrations') IS NOT NULL THEN
        REVOKE ALL ON _sqlx_migrations FROM postrider_service;
        GRANT SELECT ON _sqlx_migrations TO postrider_service;
    END IF;
END
$$;

ALTER TABLE tenants ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON tenants USING (
    id = (SELECT current_setting('postrider.tenant', true))
    OR (SELECT current_setting('postrider.tenant', true)) = '*'
);
DO $$
DECLARE
    owned text;
BEGIN
    FOREACH owned IN ARRAY ARRAY[
        'endpoints', 'endpoint_secrets', 'subscriptions', 'templates', 'api_keys', 'audit_log', 'deliveries',
        'delivery_attempts', 'held_ranges'
    ] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', owned);
        EXECUTE format(
            'CREATE POLICY tenant ON %I USING (tenant_id = (SELECT current_setting(''postrider.tenant'', true)) '
            'OR (SELECT current_setting(''postrider.tenant'', true)) = ''*'')', owned);
    END LOOP;
END
$$;
-- Every change adds to the outbox; nobody but the relay reads it.
ALTER TABLE outbox ENABLE ROW LEVEL SECURITY;
CREATE POLICY push ON outbox FOR INSERT WITH CHECK (true);
CREATE POLICY deployment ON outbox USING ((SELECT current_setting('postrider.tenant', true)) = '*');
ALTER TABLE directory_entities ENABLE ROW LEVEL SECURITY;
CREATE POLICY deployment ON directory_entities USING ((SELECT current_setting('postrider.tenant', true)) = '*');

-- Keys: from where they work, how often, and the text that a rotation replaced, for as long as both work.
ALTER TABLE api_keys
    ADD COLUMN allowed_cidrs       text[] NOT NULL DEFAULT '{}',
    ADD COLUMN rate_requests       integer CHECK (rate_requests >= 1),
    ADD COLUMN rate_period_s       integer CHECK (rate_period_s >= 1),
    ADD COLUMN rotated_at          timestamptz,
    ADD COLUMN previous_prefix     text UNIQUE,
    ADD COLUMN previous_hash       bytea,
    ADD COLUMN previous_expires_at timestamptz,
    ADD CONSTRAINT api_keys_rate_check CHECK ((rate_requests IS NULL) = (rate_period_s IS NULL)),
    ADD CONSTRAINT api_keys_previous_check CHECK (
        (previous_prefix IS NULL) = (previous_hash IS NULL)
        AND (previous_prefix IS NULL) = (previous_expires_at IS NULL)
    );

-- What keys were used for, by day (UTC) and route.
CREATE TABLE api_key_usage (
    key_id    text NOT NULL REFERENCES api_keys (id) ON DELETE CASCADE,
    tenant_id text,
    day       date NOT NULL,
    route     text NOT NULL,
    requests  bigint NOT NULL,
    -- Of them, those that were not let through.
    refused   bigint NOT NULL,
    PRIMARY KEY (key_id, day, route)
);
CREATE INDEX api_key_usage_by_day ON api_key_usage (day);
ALTER TABLE api_key_usage ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON api_key_usage USING (
    tenant_id = (SELECT current_setting('postrider.tenant', true))
    OR (SELECT current_setting('postrider.tenant', true)) = '*'
);

-- A tenant's standing: suspended by an operator, or held because it is over its quota of deliveries.
ALTER TABLE tenants
    ADD COLUMN suspended_at           timestamptz,
    ADD COLUMN suspended_reason       text,
    ADD COLUMN max_endpoints          bigint CHECK (max_endpoints >= 0),
    ADD COLUMN max_publish_per_second bigint CHECK (max_publish_per_second >= 1),
    ADD COLUMN max_deliveries_per_day bigint CHECK (max_deliveries_per_day >= 1),
    -- Until when what comes for its endpoints is held.
    ADD COLUMN held_until             timestamptz,
    ADD CONSTRAINT tenants_suspended_check CHECK ((suspended_at IS NULL) = (suspended_reason IS NULL));

-- How many deliveries were begun for a tenant on a day (UTC).
CREATE TABLE tenant_usage (
    tenant_id  text NOT NULL,
    day        date NOT NULL,
    deliveries bigint NOT NULL,
    PRIMARY KEY (tenant_id, day)
);
CREATE INDEX tenant_usage_by_day ON tenant_usage (day);
ALTER TABLE tenant_usage ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON tenant_usage USING (
    tenant_id = (SELECT current_setting('postrider.tenant', true))
    OR (SELECT current_setting('postrider.tenant', true)) = '*'
);
