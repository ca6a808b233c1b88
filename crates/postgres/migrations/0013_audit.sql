-- What shows that somebody tried what they may not, the chain over the audit log, and which addresses may use a
-- tenant's keys.

-- What was refused for reasons of security. The same thing from the same address within a minute is one row.
CREATE TABLE security_events (
    id          bigserial PRIMARY KEY,
    minute      timestamptz NOT NULL,
    -- When it happened first and last in it, and how often.
    at          timestamptz NOT NULL,
    last_at     timestamptz NOT NULL,
    count       bigint NOT NULL CHECK (count >= 1),
    kind        text NOT NULL,
    -- Whose key or thing it was about; null if nobody knows.
    tenant_id   text,
    key_id      text,
    remote_addr inet,
    detail      text NOT NULL,
    UNIQUE NULLS NOT DISTINCT (minute, kind, tenant_id, key_id, remote_addr)
);
CREATE INDEX security_events_by_tenant ON security_events (tenant_id, id);
CREATE INDEX security_events_by_time ON security_events (last_at);
ALTER TABLE security_events ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON security_events
    USING (tenant_id = current_setting('postrider.tenant', true) OR current_setting('postrider.tenant', true) = '*');

-- The audit log in day partitions, so that old days can be dropped; what has no day goes to the default one.
ALTER TABLE audit_log RENAME TO audit_log_before;
ALTER INDEX audit_log_by_tenant RENAME TO audit_log_before_by_tenant;
ALTER TABLE audit_log_before RENAME CONSTRAINT audit_log_pkey TO audit_log_before_pkey;
ALTER SEQUENCE audit_log_id_seq OWNED BY NONE;
CREATE TABLE audit_log (
    id          bigint NOT NULL DEFAULT nextval('audit_log_id_seq'),
    at          timestamptz NOT NULL,
    tenant_id   text,
    -- The id of the API key, `cli` for a command run beside the database, or `postrider`.
    actor       text NOT NULL,
    action      text NOT NULL,
    entity_id   text NOT NULL,
    before      json,
    after       json,
    remote_addr inet,
    PRIMARY KEY (at, id)
) PARTITION BY RANGE (at);
CREATE TABLE audit_log_default PARTITION OF audit_log DEFAULT;
ALTER SEQUENCE audit_log_id_seq OWNED BY audit_log.id;
CREATE INDEX audit_log_by_tenant ON audit_log (tenant_id, at, id);
CREATE INDEX audit_log_by_entity ON audit_log (entity_id, at, id);
INSERT INTO audit_log (id, at, tenant_id, actor, action, entity_id, before, after, remote_addr)
SELECT id, at, tenant_id, actor, action, entity_id, before, after, remote_addr FROM audit_log_before;
DROP TABLE audit_log_before;
ALTER TABLE audit_log ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON audit_log
    USING (tenant_id = current_setting('postrider.tenant', true) OR current_setting('postrider.tenant', true) = '*');

-- It is added to and never changed. Days go by dropping their partitions.
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege';
END
$$;
CREATE TRIGGER audit_log_append_only BEFORE UPDATE OR DELETE ON audit_log
    FOR EACH ROW EXECUTE FUNCTION refuse_change();

-- Records that the relay has yet to chain, with the change of the outbox that they came with, if any: what is
-- published is chained in the order in which it was.
CREATE TABLE audit_pending (
    audit_id  bigint PRIMARY KEY,
    at        timestamptz NOT NULL,
    outbox_id bigint
);
CREATE INDEX audit_pending_by_outbox ON audit_pending (outbox_id);
INSERT INTO audit_pending (audit_id, at) SELECT id, at FROM audit_log;

-- The chain: each link's keyed hash covers all of it, the hash of the link before among it.
CREATE TABLE audit_chain (
    seq      bigint PRIMARY KEY CHECK (seq >= 1),
    audit_id bigint NOT NULL,
    -- The record's time: with the id, its key.
    at       timestamptz NOT NULL,
    -- SHA-256 of the record.
    digest   bytea NOT NULL,
    -- The hash of the link before; empty for the first.
    previous bytea NOT NULL,
    hash     bytea NOT NULL
);
CREATE UNIQUE INDEX audit_chain_by_record ON audit_chain (audit_id);
CREATE INDEX audit_chain_by_time ON audit_chain (at);

-- Which addresses a tenant's keys work from. No row: from all.
CREATE TABLE ip_rules (
    tenant_id  text PRIMARY KEY REFERENCES tenants (id) ON DELETE CASCADE,
    -- Networks in CIDR notation. If there are any, no others may.
    allow      text[] NOT NULL,
    -- These may not, allowed or not.
    block      text[] NOT NULL,
    version    bigint NOT NULL,
    updated_at timestamptz NOT NULL
);
ALTER TABLE ip_rules ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON ip_rules
    USING (tenant_id = current_setting('postrider.tenant', true) OR current_setting('postrider.tenant', true) = '*');

-- The month in which it begins, before anybody writes: whoever writes into the default partition just while another one is
-- made of it is refused.
SELECT make_partition('audit_log', date_trunc('month', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC');
