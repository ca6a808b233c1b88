-- What an attempt sent and got, where a delivery's payload stands, what is searched for, and orders about deliveries.

-- Headers are lists of pairs of name and value, secret values masked.
ALTER TABLE delivery_attempts ADD COLUMN request_headers json;
ALTER TABLE delivery_attempts ADD COLUMN response_headers json;
-- How long the parts took; null for what a connection that was there already had taken, and for what was not reached.
ALTER TABLE delivery_attempts ADD COLUMN dns_us bigint;
ALTER TABLE delivery_attempts ADD COLUMN connect_us bigint;
ALTER TABLE delivery_attempts ADD COLUMN tls_us bigint;
ALTER TABLE delivery_attempts ADD COLUMN wait_us bigint;

-- Where the delivery's own record was seen last: in `postrider.deliveries`, or in `postrider.held`.
ALTER TABLE deliveries ADD COLUMN payload_topic text;
ALTER TABLE deliveries ADD COLUMN payload_partition integer;
ALTER TABLE deliveries ADD COLUMN payload_offset bigint;
ALTER TABLE deliveries ADD CONSTRAINT deliveries_payload_check
    CHECK (num_nulls(payload_topic, payload_partition, payload_offset) IN (0, 3));

CREATE INDEX deliveries_by_type ON deliveries (tenant_id, event_type, matched_at, message_id, run);
-- Most deliveries succeed: only what did not is looked for by its cause, and only what waits is counted.
CREATE INDEX deliveries_by_error ON deliveries (tenant_id, last_error, matched_at, message_id, run)
    WHERE last_error IS NOT NULL;
CREATE INDEX deliveries_by_http_status ON deliveries (tenant_id, last_status, matched_at, message_id, run)
    WHERE last_status >= 300;
CREATE INDEX deliveries_pending ON deliveries (tenant_id, endpoint_id, status)
    WHERE status IN ('waiting', 'held', 'retrying');

-- Orders about one run of a message, as `postrider.overrides` has them: kept as long as there.
CREATE TABLE delivery_orders (
    message_id text NOT NULL,
    run        text NOT NULL,
    tenant_id  text NOT NULL,
    -- How often it was sent ahead of its time: what waits of an older generation is superseded.
    generation integer NOT NULL CHECK (generation >= 0),
    cancelled  boolean NOT NULL,
    until      timestamptz NOT NULL,
    PRIMARY KEY (message_id, run)
);
CREATE INDEX delivery_orders_by_age ON delivery_orders (until);
ALTER TABLE delivery_orders ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON delivery_orders
    USING (tenant_id = current_setting('postrider.tenant', true) OR current_setting('postrider.tenant', true) = '*');
