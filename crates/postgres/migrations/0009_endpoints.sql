-- What an endpoint is beside what the data plane needs of it: who made it and for what, why it is disabled, whether it
-- has shown that it wants events, when its secret changes by itself, how it does, and what was done to it.

ALTER TABLE endpoints
    -- What its owner keeps with it: names and texts.
    ADD COLUMN metadata      json NOT NULL DEFAULT '{}',
    -- The id of the API key, or what else made it; null for those that were made before this was kept.
    ADD COLUMN created_by    text,
    -- What was said when it was disabled.
    ADD COLUMN disabled_note text,
    -- How it has to show that it wants events; null: it need not.
    ADD COLUMN verification  text CHECK (verification IN ('cloudevents', 'challenge')),
    -- When it has shown that, at the URL that it has.
    ADD COLUMN verified_at   timestamptz,
    -- How its secret changes by itself, and when next; null: it does not.
    ADD COLUMN rotation      json,
    ADD COLUMN rotates_at    timestamptz,
    ADD CONSTRAINT endpoints_rotation_check CHECK ((rotation IS NULL) = (rotates_at IS NULL));
CREATE INDEX endpoints_rotating ON endpoints (rotates_at) WHERE rotates_at IS NOT NULL;

-- Whoever disables an endpoint, it is known why.
ALTER TABLE endpoints DROP CONSTRAINT endpoints_disabled_check;
ALTER TABLE endpoints DROP CONSTRAINT endpoints_disabled_reason_check;
UPDATE endpoints SET disabled_reason = 'manual', disabled_at = updated_at WHERE NOT enabled AND disabled_reason IS NULL;
ALTER TABLE endpoints ADD CONSTRAINT endpoints_disabled_reason_check
    CHECK (disabled_reason IN ('gone', 'failing', 'manual', 'unverified'));
ALTER TABLE endpoints ADD CONSTRAINT endpoints_disabled_check
    CHECK (enabled = (disabled_reason IS NULL) AND enabled = (disabled_at IS NULL)
        AND NOT (enabled AND disabled_note IS NOT NULL));

ALTER TABLE endpoint_secrets
    -- The version of the endpoint that it came with: the higher the newer.
    ADD COLUMN version    bigint NOT NULL DEFAULT 1,
    ADD COLUMN kind       text NOT NULL DEFAULT 'hmac' CHECK (kind IN ('hmac', 'ed25519')),
    -- What receivers verify with, of an ed25519 key: `whpk_…`.
    ADD COLUMN public_key text CHECK ((kind = 'ed25519') = (public_key IS NOT NULL)),
    ADD COLUMN source     text NOT NULL DEFAULT 'generated' CHECK (source IN ('generated', 'given', 'scheduled')),
    ADD COLUMN created_by text;

-- When an endpoint was enabled, disabled, paused and resumed, by whom and why.
CREATE TABLE endpoint_history (
    id          bigserial PRIMARY KEY,
    tenant_id   text NOT NULL,
    endpoint_id text NOT NULL REFERENCES endpoints (id) ON DELETE CASCADE,
    at          timestamptz NOT NULL,
    change      text NOT NULL CHECK (change IN ('enabled', 'disabled', 'paused', 'resumed')),
    reason      text CHECK (reason IN ('gone', 'failing', 'manual', 'unverified')),
    note        text,
    actor       text NOT NULL
);
CREATE INDEX endpoint_history_by_endpoint ON endpoint_history (tenant_id, endpoint_id, id);

-- What came of the deliveries to each endpoint: counts, what was last, and sums in which an attempt weighs half as much
-- after an hour (`hour_…`) or after a week (`week_…`), as they were at `weighed_at`. No foreign key: the projector, which
-- adds to it, waits for nobody who changes an endpoint.
CREATE TABLE endpoint_activity (
    endpoint_id        text PRIMARY KEY,
    tenant_id          text NOT NULL,
    attempts           bigint NOT NULL,
    delivered          bigint NOT NULL,
    dead_lettered      bigint NOT NULL,
    last_attempt_at    timestamptz NOT NULL,
    last_success_at    timestamptz,
    last_error_at      timestamptz,
    last_error         text,
    last_error_status  integer,
    last_error_message text,
    weighed_at         timestamptz NOT NULL,
    hour_tries         double precision NOT NULL,
    hour_successes     double precision NOT NULL,
    -- Sums over the attempts that were answered of the logarithm of how long that took, in milliseconds.
    hour_answers       double precision NOT NULL,
    hour_latency       double precision NOT NULL,
    week_tries         double precision NOT NULL,
    week_successes     double precision NOT NULL,
    week_answers       double precision NOT NULL,
    week_latency       double precision NOT NULL
) WITH (fillfactor = 80);

-- What the data plane remembers of endpoints that fail. No foreign key, as above.
CREATE TABLE endpoint_condition (
    endpoint_id        text PRIMARY KEY,
    tenant_id          text NOT NULL,
    failing_since      timestamptz,
    failures           bigint NOT NULL,
    breaker_opens      bigint NOT NULL,
    breaker_open_until timestamptz
);

-- What is left of a weighed sum after some time. Small remainders end as zero: what underflows is an error in Postgres.
CREATE FUNCTION weighed(value double precision, age interval, half_life interval) RETURNS double precision
    LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE
        WHEN value < 1e-9 OR age > 60 * half_life THEN 0
        ELSE value * power(0.5::double precision,
            greatest(extract(epoch FROM age)::double precision, 0) / extract(epoch FROM half_life)::double precision)
    END
$$;

ALTER TABLE endpoint_history ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON endpoint_history USING (
    tenant_id = (SELECT current_setting('postrider.tenant', true))
    OR (SELECT current_setting('postrider.tenant', true)) = '*'
);
ALTER TABLE endpoint_activity ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON endpoint_activity USING (
    tenant_id = (SELECT current_setting('postrider.tenant', true))
    OR (SELECT current_setting('postrider.tenant', true)) = '*'
);
ALTER TABLE endpoint_condition ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON endpoint_condition USING (
    tenant_id = (SELECT current_setting('postrider.tenant', true))
    OR (SELECT current_setting('postrider.tenant', true)) = '*'
);
