-- Endpoint templates that tenants saved. `document` is a domain `template::Document`.
CREATE TABLE templates (
    id         text PRIMARY KEY,
    tenant_id  text NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    document   json NOT NULL,
    version    bigint NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);
CREATE INDEX templates_by_tenant ON templates (tenant_id, id);
