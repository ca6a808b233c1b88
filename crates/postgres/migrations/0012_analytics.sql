-- What is kept by time: the delivery log in a partition for each day, so that what is old goes with its partition, and
-- the counts of deliveries by minute, hour and day.

-- The tables that are kept by the time of their rows. Each has a partition `<name>_default` for what no other one is for,
-- so that no insert ever fails for want of one.
CREATE TABLE kept_by_time (
    name        text PRIMARY KEY,
    time_column text NOT NULL,
    -- How much time each partition covers, in UTC.
    step        text NOT NULL CHECK (step IN ('day', 'month'))
);
INSERT INTO kept_by_time (name, time_column, step) VALUES
    ('deliveries', 'matched_at', 'day'),
    ('delivery_attempts', 'started_at', 'day'),
    -- Months: it is kept for more than a year, and a list looks into each.
    ('audit_log', 'at', 'month'),
    ('rollup_minutes', 'bucket', 'day'),
    ('rollup_hours', 'bucket', 'month'),
    ('rollup_days', 'bucket', 'month');

-- The functions below run with their owner's rights: who works with the tables owns none of them, and may not make or
-- drop what it likes.

-- The name of the partition of a table that begins at a moment.
CREATE FUNCTION partition_name(parent text, starts timestamptz) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT parent || '_' || to_char(starts AT TIME ZONE 'UTC', 'YYYYMMDD')
$$;

-- When the partitions begin that a table lacks: for the time from `since` to `until`, and for what is in its `_default`
-- and began no earlier than `oldest`.
CREATE FUNCTION missing_partitions(parent text, oldest timestamptz, since timestamptz, until timestamptz)
RETURNS SETOF timestamptz LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    kept kept_by_time;
BEGIN
    SELECT * INTO STRICT kept FROM kept_by_time WHERE name = parent;
    RETURN QUERY EXECUTE format(
        'SELECT wanted.starts FROM (
             SELECT step AT TIME ZONE ''UTC'' AS starts FROM generate_series(
                 date_trunc(%2$L, $2 AT TIME ZONE ''UTC''), $3 AT TIME ZONE ''UTC'', %3$L::interval) AS step
             UNION
             SELECT date_trunc(%2$L, %4$I AT TIME ZONE ''UTC'') AT TIME ZONE ''UTC'' FROM %5$I
             WHERE %4$I >= $1 AND %4$I < $3
         ) AS wanted
         WHERE to_regclass(quote_ident(partition_name(%1$L, wanted.starts))) IS NULL
         ORDER BY wanted.starts',
        parent, kept.step, '1 ' || kept.step, kept.time_column, parent || '_default')
    USING oldest, since, until;
END
$$;

-- Makes the partition of a table that begins at `starts`, with what `_default` has for it. False if it is there.
CREATE FUNCTION make_partition(parent text, starts timestamptz)
RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    kept  kept_by_time;
    made  text := partition_name(parent, starts);
    rest  text := parent || '_default';
    first timestamptz;
    ends  timestamptz;
BEGIN
    SELECT * INTO STRICT kept FROM kept_by_time WHERE name = parent;
    first := date_trunc(kept.step, starts AT TIME ZONE 'UTC') AT TIME ZONE 'UTC';
    IF first <> starts THEN
        RAISE EXCEPTION 'a partition of % begins with a %, not at %', parent, kept.step, starts;
    END IF;
    ends := (starts AT TIME ZONE 'UTC' + ('1 ' || kept.step)::interval) AT TIME ZONE 'UTC';
    -- From here on nobody writes into what is moved.
    EXECUTE format('LOCK TABLE %I IN ACCESS EXCLUSIVE MODE', rest);
    IF to_regclass(quote_ident(made)) IS NOT NULL THEN
        RETURN false;
    END IF;
    EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING ALL)', made, parent);
    -- What may never be changed may be moved.
    EXECUTE format('ALTER TABLE %I DISABLE TRIGGER USER', rest);
    EXECUTE format(
        'WITH moved AS (DELETE FROM %1$I WHERE %2$I >= $1 AND %2$I < $2 RETURNING *) INSERT INTO %3$I SELECT * FROM moved',
        rest, kept.time_column, made)
    USING starts, ends;
    EXECUTE format('ALTER TABLE %I ENABLE TRIGGER USER', rest);
    -- What is seen of it is seen through its parent, whose policies then hold.
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', made);
    EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', parent, made, starts, ends);
    RETURN true;
END
$$;

-- Drops a table's partitions that end before `before`, and deletes from `_default` what is as old. Answers their names.
CREATE FUNCTION drop_partitions(parent text, before timestamptz)
RETURNS SETOF text LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    kept  kept_by_time;
    rest  text := parent || '_default';
    found boolean;
    old   text;
BEGIN
    SELECT * INTO STRICT kept FROM kept_by_time WHERE name = parent;
    FOR old IN
        SELECT child.relname FROM pg_inherits
        JOIN pg_class AS child ON child.oid = pg_inherits.inhrelid
        WHERE pg_inherits.inhparent = to_regclass(quote_ident(parent))
            AND child.relname ~ ('^' || parent || '_[0-9]{8}$')
            AND (to_date(right(child.relname, 8), 'YYYYMMDD') + ('1 ' || kept.step)::interval) AT TIME ZONE 'UTC' <= before
        ORDER BY child.relname
    LOOP
        EXECUTE format('DROP TABLE %I', old);
        RETURN NEXT old;
    END LOOP;
    EXECUTE format('SELECT EXISTS (SELECT FROM %I WHERE %I < $1)', rest, kept.time_column) INTO found USING before;
    IF found THEN
        EXECUTE format('ALTER TABLE %I DISABLE TRIGGER USER', rest);
        EXECUTE format('DELETE FROM %I WHERE %I < $1', rest, kept.time_column) USING before;
        EXECUTE format('ALTER TABLE %I ENABLE TRIGGER USER', rest);
    END IF;
END
$$;

REVOKE INSERT, UPDATE, DELETE ON kept_by_time FROM postrider_service;
REVOKE EXECUTE ON FUNCTION missing_partitions, make_partition, drop_partitions FROM PUBLIC;
GRANT EXECUTE ON FUNCTION missing_partitions, make_partition, drop_partitions TO postrider_service;

-- Makes a table one that has partitions: its rows, indexes, policies and rights stay. `key` is its primary key, which
-- has to have the column in it that decides on the partition.
CREATE FUNCTION pg_temp.divide(parent text, key text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    kept    kept_by_time;
    whole   text := parent || '_whole';
    after   text[];
    secured boolean;
    command text;
    begins  timestamptz;
BEGIN
    SELECT * INTO STRICT kept FROM kept_by_time WHERE name = parent;
    SELECT relrowsecurity INTO secured FROM pg_class WHERE oid = parent::regclass;
    SELECT coalesce(array_agg(pg_get_indexdef(indexrelid) ORDER BY indexrelid), '{}') INTO after
    FROM pg_index WHERE indrelid = parent::regclass AND NOT indisprimary;
    SELECT after || coalesce(array_agg(format('CREATE POLICY %I ON %I USING (%s)', policyname, parent, qual)), '{}')
    INTO after FROM pg_policies WHERE tablename = parent AND schemaname = current_schema();
    SELECT after || coalesce(array_agg(format('GRANT %s ON %I TO %s', privilege_type, parent,
        CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END)), '{}')
    INTO after FROM pg_class, aclexplode(relacl) WHERE pg_class.oid = parent::regclass;

    EXECUTE format('ALTER TABLE %I RENAME TO %I', parent, whole);
    EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING DEFAULTS INCLUDING CONSTRAINTS) PARTITION BY RANGE (%I)',
        parent, whole, kept.time_column);
    EXECUTE format('CREATE TABLE %I PARTITION OF %I DEFAULT', parent || '_default', parent);
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', parent || '_default');
    FOR begins IN EXECUTE format('SELECT DISTINCT date_trunc(%L, %I AT TIME ZONE ''UTC'') AT TIME ZONE ''UTC'' FROM %I',
        kept.step, kept.time_column, whole)
    LOOP
        PERFORM make_partition(parent, begins);
    END LOOP;
    EXECUTE format('INSERT INTO %I SELECT * FROM %I', parent, whole);
    EXECUTE format('DROP TABLE %I', whole);
    EXECUTE format('ALTER TABLE %I ADD PRIMARY KEY (%s)', parent, key);
    IF secured THEN
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', parent);
    END IF;
    FOREACH command IN ARRAY after LOOP
        EXECUTE command;
    END LOOP;
END
$$;

-- When a delivery was matched stays as it was first written, also where it is matched again: so a run of a message has
-- one row, though the key alone does not say so. Whoever writes one looks for it first.
DO $$
BEGIN
    PERFORM pg_temp.divide('deliveries', 'message_id, run, matched_at');
    PERFORM pg_temp.divide('delivery_attempts', 'message_id, run, log_partition, log_offset, started_at');
END
$$;
-- Tests are kept for a shorter time than the others.
CREATE INDEX deliveries_tests ON deliveries (matched_at) WHERE kind = 'test';

-- What deliveries came to, by minute, hour and day. Of an endpoint by event type (an empty one for what ended without
-- its type being told). Without an endpoint: of a tenant, for each event type and, with an empty one, of all together.
-- Without a tenant either: of the deployment, likewise.
CREATE TABLE rollups (
    grain           text NOT NULL CHECK (grain IN ('minute', 'hour', 'day')),
    tenant_id       text NOT NULL,
    endpoint_id     text NOT NULL,
    event_type      text NOT NULL,
    bucket          timestamptz NOT NULL,
    attempts        bigint NOT NULL,
    failed_attempts bigint NOT NULL,
    delivered       bigint NOT NULL,
    failed          bigint NOT NULL,
    cancelled       bigint NOT NULL,
    skipped         bigint NOT NULL,
    -- How many by error class.
    errors          json NOT NULL,
    -- A domain `Histogram` of microseconds, and one of milliseconds.
    latency         bytea NOT NULL,
    delivery_time   bytea NOT NULL,
    PRIMARY KEY (grain, tenant_id, endpoint_id, bucket, event_type)
) PARTITION BY LIST (grain);
CREATE TABLE rollup_minutes PARTITION OF rollups FOR VALUES IN ('minute') PARTITION BY RANGE (bucket);
CREATE TABLE rollup_minutes_default PARTITION OF rollup_minutes DEFAULT;
CREATE TABLE rollup_hours PARTITION OF rollups FOR VALUES IN ('hour') PARTITION BY RANGE (bucket);
CREATE TABLE rollup_hours_default PARTITION OF rollup_hours DEFAULT;
CREATE TABLE rollup_days PARTITION OF rollups FOR VALUES IN ('day') PARTITION BY RANGE (bucket);
CREATE TABLE rollup_days_default PARTITION OF rollup_days DEFAULT;
-- The totals, however many event types there are; and what failed, which is little, by when.
CREATE INDEX rollups_totals ON rollups (grain, tenant_id, bucket) WHERE endpoint_id = '' AND event_type = '';
CREATE INDEX rollups_failing ON rollups (grain, tenant_id, bucket) INCLUDE (endpoint_id, failed_attempts, failed)
    WHERE endpoint_id <> '' AND (failed_attempts > 0 OR failed > 0);
CREATE INDEX rollups_failing_anywhere ON rollups (grain, bucket) INCLUDE (tenant_id, endpoint_id, failed_attempts, failed)
    WHERE endpoint_id <> '' AND (failed_attempts > 0 OR failed > 0);

-- What the projector has counted and nobody has yet added to the rollups: written with the rows that were counted, so
-- that each counts once, and without waiting for anybody. One at a time adds them up.
CREATE TABLE rollup_deltas (
    id              bigserial PRIMARY KEY,
    tenant_id       text NOT NULL,
    endpoint_id     text NOT NULL,
    event_type      text NOT NULL,
    minute          timestamptz NOT NULL,
    attempts        bigint NOT NULL,
    failed_attempts bigint NOT NULL,
    delivered       bigint NOT NULL,
    failed          bigint NOT NULL,
    cancelled       bigint NOT NULL,
    skipped         bigint NOT NULL,
    errors          json NOT NULL,
    latency         bytea NOT NULL,
    delivery_time   bytea NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000);

ALTER TABLE rollups ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON rollups
    USING (tenant_id = current_setting('postrider.tenant', true) OR current_setting('postrider.tenant', true) = '*');
-- What is seen of these is seen through the table above them.
ALTER TABLE rollup_minutes ENABLE ROW LEVEL SECURITY;
ALTER TABLE rollup_minutes_default ENABLE ROW LEVEL SECURITY;
ALTER TABLE rollup_hours ENABLE ROW LEVEL SECURITY;
ALTER TABLE rollup_hours_default ENABLE ROW LEVEL SECURITY;
ALTER TABLE rollup_days ENABLE ROW LEVEL SECURITY;
ALTER TABLE rollup_days_default ENABLE ROW LEVEL SECURITY;
ALTER TABLE rollup_deltas ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON rollup_deltas
    USING (tenant_id = current_setting('postrider.tenant', true) OR current_setting('postrider.tenant', true) = '*');
