-- What stands in `postrider.dlq`, as the projector read it: each entry once, and what was done with it.

CREATE TABLE dead_letters (
    message_id       text NOT NULL,
    run              text NOT NULL,
    tenant_id        text NOT NULL,
    endpoint_id      text NOT NULL,
    event_id         text NOT NULL,
    event_type       text NOT NULL,
    attempts         integer NOT NULL,
    error            text NOT NULL,
    error_message    text,
    last_status      integer,
    matched_at       timestamptz NOT NULL,
    first_attempt_at timestamptz,
    -- When it ended.
    died_at          timestamptz NOT NULL,
    -- The size of the body that would be sent again.
    body_bytes       bigint NOT NULL,
    -- Where it stands in the queue: decides the run of its redrive.
    log_partition    integer NOT NULL,
    log_offset       bigint NOT NULL,
    state            text NOT NULL CHECK (state IN ('open', 'redriven', 'purged')),
    -- By which replay, and when it was dealt with.
    job_id           text,
    settled_at       timestamptz,
    PRIMARY KEY (message_id, run),
    CHECK ((state = 'open') = (settled_at IS NULL))
);
CREATE INDEX dead_letters_by_tenant ON dead_letters (tenant_id, died_at, message_id, run);
CREATE INDEX dead_letters_by_endpoint ON dead_letters (tenant_id, endpoint_id, died_at, message_id, run);
CREATE INDEX dead_letters_by_state ON dead_letters (tenant_id, state, died_at, message_id, run);
CREATE INDEX dead_letters_by_redrive ON dead_letters (tenant_id, settled_at) WHERE state = 'redriven';
CREATE INDEX dead_letters_by_age ON dead_letters (died_at);
ALTER TABLE dead_letters ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON dead_letters
    USING (tenant_id = current_setting('postrider.tenant', true) OR current_setting('postrider.tenant', true) = '*');
