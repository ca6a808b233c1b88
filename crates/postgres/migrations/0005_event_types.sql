-- The catalogue of event types, one for the whole deployment.

CREATE TABLE event_types (
    id          text PRIMARY KEY,
    -- Sorted by its bytes, as cursors compare it.
    name        text COLLATE "C" NOT NULL UNIQUE,
    group_name  text NOT NULL,
    description text NOT NULL,
    -- `json`: kept as it was written.
    schema      json,
    sample      json,
    validation  text NOT NULL CHECK (validation IN ('off', 'report', 'reject')),
    archived    boolean NOT NULL,
    version     bigint NOT NULL,
    created_at  timestamptz NOT NULL,
    updated_at  timestamptz NOT NULL
);
