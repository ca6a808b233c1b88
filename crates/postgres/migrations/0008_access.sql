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
