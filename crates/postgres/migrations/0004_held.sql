-- What stands in `postrider.held`, and endpoints that the data plane disabled.

ALTER TABLE deliveries DROP CONSTRAINT deliveries_status_check;
ALTER TABLE deliveries ADD CONSTRAINT deliveries_status_check
    CHECK (status IN ('waiting', 'held', 'retrying', 'failed', 'skipped', 'cancelled', 'delivered'));
-- Where a held delivery stands in `postrider.held`: ranges of it end at once.
ALTER TABLE deliveries ADD COLUMN held_partition integer;
ALTER TABLE deliveries ADD COLUMN held_offset bigint;
ALTER TABLE deliveries ADD CONSTRAINT deliveries_held_check CHECK ((held_partition IS NULL) = (held_offset IS NULL));
CREATE INDEX deliveries_held ON deliveries (endpoint_id, held_partition, held_offset) WHERE status = 'held';

-- The ranges of `postrider.held` whose deliveries to one endpoint have ended together. Kept for as long as an event
-- may come late that says that one of them is held.
CREATE TABLE held_ranges (
    tenant_id      text NOT NULL,
    endpoint_id    text NOT NULL,
    held_partition integer NOT NULL,
    from_offset    bigint NOT NULL,
    -- The offset after the last.
    to_offset      bigint NOT NULL,
    reason         text NOT NULL CHECK (reason IN ('skipped', 'endpoint_deleted')),
    ended_at       timestamptz NOT NULL,
    PRIMARY KEY (endpoint_id, held_partition, from_offset, to_offset)
);
CREATE INDEX held_ranges_by_age ON held_ranges (ended_at);

-- Why and when the data plane disabled an endpoint; null if it did not, or if the endpoint was enabled since.
ALTER TABLE endpoints ADD COLUMN disabled_reason text CHECK (disabled_reason IN ('gone', 'failing'));
ALTER TABLE endpoints ADD COLUMN disabled_at timestamptz;
ALTER TABLE endpoints ADD CONSTRAINT endpoints_disabled_check
    CHECK ((disabled_reason IS NULL) = (disabled_at IS NULL) AND NOT (enabled AND disabled_reason IS NOT NULL));
