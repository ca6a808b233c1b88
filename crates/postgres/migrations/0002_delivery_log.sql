-- What the relay has published, and the log of deliveries that the projector writes.

-- The relay's position. One row.
CREATE TABLE relay_state (
    singleton    boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    epoch        bigint NOT NULL CHECK (epoch >= 1),
    -- The last seq whose publication was recorded here.
    seq          bigint NOT NULL CHECK (seq >= 0),
    -- The last seq that the relay may have used in the topic: what lies beyond was published by a later
    -- state of the database than this one.
    reserved_seq bigint NOT NULL,
    -- How many live entities the directory has at `seq`.
    live         bigint NOT NULL CHECK (live >= 0),
    CHECK (reserved_seq >= seq)
);
INSERT INTO relay_state (epoch, seq, reserved_seq, live) VALUES (1, 0, 0, 0);

-- The entities in `postrider.config`, at the version published last. The count of live entities follows
-- from it, however often a batch is published.
CREATE TABLE directory_entities (
    entity_id      text PRIMARY KEY,
    entity_version bigint NOT NULL,
    -- Since when it is deleted; null while it lives. 30 days later its record becomes a tombstone.
    deleted_at     timestamptz
);
CREATE INDEX directory_entities_deleted ON directory_entities (deleted_at) WHERE deleted_at IS NOT NULL;

-- Up to where each partition of a projected topic is in the tables below. Moved by compare-and-set in the
-- transaction that writes the rows.
CREATE TABLE projector_offsets (
    topic       text NOT NULL,
    partition   integer NOT NULL,
    next_offset bigint NOT NULL CHECK (next_offset >= 0),
    PRIMARY KEY (topic, partition)
);

-- One row per delivery and run, once something has happened to it. Moves only forward in (attempt, rank).
-- No foreign keys: the log outlives the endpoint.
CREATE TABLE deliveries (
    message_id       text NOT NULL,
    run              text NOT NULL,
    tenant_id        text NOT NULL,
    endpoint_id      text NOT NULL,
    subscription_id  text NOT NULL,
    event_id         text NOT NULL,
    event_type       text NOT NULL,
    kind             text NOT NULL CHECK (kind IN ('live', 'test')),
    source_topic     text NOT NULL,
    source_partition integer NOT NULL,
    source_offset    bigint NOT NULL,
    status           text NOT NULL CHECK (status IN ('waiting', 'retrying', 'failed', 'cancelled', 'delivered')),
    rank             smallint NOT NULL,
    attempt          integer NOT NULL CHECK (attempt >= 1),
    last_status      integer,
    last_error       text,
    next_attempt_at  timestamptz,
    matched_at       timestamptz NOT NULL,
    updated_at       timestamptz NOT NULL,
    PRIMARY KEY (message_id, run)
);
-- Read newest first, page by page.
CREATE INDEX deliveries_by_tenant ON deliveries (tenant_id, matched_at, message_id, run);
CREATE INDEX deliveries_by_endpoint ON deliveries (tenant_id, endpoint_id, matched_at, message_id, run);
CREATE INDEX deliveries_by_status ON deliveries (tenant_id, status, matched_at, message_id, run);
CREATE INDEX deliveries_by_event ON deliveries (tenant_id, event_id);

-- One row per attempt, identified by where its record stands in `postrider.delivery-events`. The delivery
-- stands first in the key because attempts are read by delivery.
CREATE TABLE delivery_attempts (
    message_id       text NOT NULL,
    run              text NOT NULL,
    log_partition    integer NOT NULL,
    log_offset       bigint NOT NULL,
    tenant_id        text NOT NULL,
    attempt          integer NOT NULL CHECK (attempt >= 1),
    started_at       timestamptz NOT NULL,
    duration_us      bigint NOT NULL,
    status           integer,
    error            text,
    error_message    text,
    response_excerpt text,
    PRIMARY KEY (message_id, run, log_partition, log_offset)
);
