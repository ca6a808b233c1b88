-- Requests with an `Idempotency-Key`: who is working on one, and what it was answered with.
--
-- `claim` is random and names one execution. `done` is set in the transaction of the change that the request makes, so
-- that it is known after a crash whether the change was made. `answer` is sealed: it shows URLs.
CREATE TABLE idempotent_requests (
    claim        bigint PRIMARY KEY,
    caller       text NOT NULL,
    tenant_id    text REFERENCES tenants (id) ON DELETE CASCADE,
    key          text NOT NULL,
    fingerprint  bytea NOT NULL,
    done         boolean NOT NULL DEFAULT false,
    answer       bytea,
    locked_until timestamptz NOT NULL,
    expires_at   timestamptz NOT NULL,
    UNIQUE NULLS NOT DISTINCT (caller, tenant_id, key)
);
CREATE INDEX idempotent_requests_by_expiry ON idempotent_requests (expires_at);
ALTER TABLE idempotent_requests ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON idempotent_requests
    USING (tenant_id = current_setting('postrider.tenant', true) OR current_setting('postrider.tenant', true) = '*');
