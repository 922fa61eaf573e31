-- Topics that keep no history: ordered, carried, and forgotten. Nothing of it is in the write-ahead log; a crash of the
-- server forgets all of it, and with it the epoch.

CREATE UNLOGGED TABLE passing_meta (one boolean PRIMARY KEY DEFAULT true CHECK (one), epoch bigint NOT NULL);

CREATE UNLOGGED TABLE passing_topic (
    tenant text COLLATE "C" NOT NULL,
    topic text COLLATE "C" NOT NULL,
    epoch bigint NOT NULL,
    top bigint NOT NULL DEFAULT 0,
    last_time bigint,
    last_id text COLLATE "C",
    PRIMARY KEY (tenant, topic)
) WITH (fillfactor = 50);

-- Three tables that take turns every minute and are emptied whole before their turn. Offset 0 says that the topic began
-- anew.
CREATE TABLE passing (
    slot smallint NOT NULL,
    xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
    tenant text COLLATE "C" NOT NULL,
    topic text COLLATE "C" NOT NULL,
    epoch bigint NOT NULL,
    off bigint NOT NULL,
    time bigint NOT NULL,
    kind smallint NOT NULL,
    occurred_at bigint,
    id text COLLATE "C" NOT NULL,
    name text COLLATE "C",
    who text COLLATE "C",
    source text COLLATE "C",
    key text COLLATE "C",
    schema text COLLATE "C",
    headers jsonb,
    data bytea NOT NULL
) PARTITION BY LIST (slot);
CREATE UNLOGGED TABLE passing_0 PARTITION OF passing FOR VALUES IN (0);
CREATE UNLOGGED TABLE passing_1 PARTITION OF passing FOR VALUES IN (1);
CREATE UNLOGGED TABLE passing_2 PARTITION OF passing FOR VALUES IN (2);
CREATE INDEX passing_xid ON passing (xid);

CREATE FUNCTION passing_slot(later integer) RETURNS smallint LANGUAGE sql VOLATILE AS $$
    SELECT ((floor(extract(epoch FROM clock_timestamp()) / 60)::bigint + later) % 3)::smallint
$$;

-- The epoch of topics that nothing passed through yet.
CREATE FUNCTION passing_epoch() RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    v_epoch bigint;
BEGIN
    SELECT epoch INTO v_epoch FROM passing_meta;
    IF NOT FOUND THEN
        INSERT INTO passing_meta (epoch) VALUES (new_epoch()) ON CONFLICT DO NOTHING;
        SELECT epoch INTO v_epoch FROM passing_meta;
    END IF;
    RETURN v_epoch;
END $$;

-- Orders events, which come sorted by topic, so that two who order the same topics do not block each other for ever.
CREATE FUNCTION pass(
    p_now bigint, p_tenant text[], p_topic text[], p_id text[], p_kind smallint[], p_data bytea[], p_occurred_at bigint[],
    p_name text[], p_who text[], p_source text[], p_key text[], p_schema text[], p_headers text[]
) RETURNS TABLE (state smallint, epoch bigint, off bigint, prev bigint, at bigint) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    n integer := cardinality(p_topic);
    v_epoch bigint[] := array_fill(NULL::bigint, ARRAY[n]);
    v_off bigint[] := array_fill(NULL::bigint, ARRAY[n]);
    v_time bigint[] := array_fill(NULL::bigint, ARRAY[n]);
    v_slot smallint := passing_slot(0);
    v_new bigint := passing_epoch();
    v_last integer := 0;
    h passing_topic;
    i integer;
    j integer;
BEGIN
    FOR i IN 1..n LOOP
        CONTINUE WHEN i <= v_last;
        v_last := i;
        WHILE v_last < n AND p_topic[v_last + 1] = p_topic[i] AND p_tenant[v_last + 1] = p_tenant[i] LOOP
            v_last := v_last + 1;
        END LOOP;
        INSERT INTO passing_topic AS t (tenant, topic, epoch, top, last_time, last_id)
        VALUES (p_tenant[i], p_topic[i], v_new, v_last - i + 1, p_now, p_id[v_last])
        ON CONFLICT (tenant, topic) DO UPDATE
        SET top = t.top + excluded.top, last_time = greatest(t.last_time, excluded.last_time), last_id = excluded.last_id
        RETURNING t.* INTO h;
        FOR j IN i..v_last LOOP
            v_epoch[j] := h.epoch;
            v_off[j] := h.top - (v_last - j);
            v_time[j] := h.last_time;
        END LOOP;
    END LOOP;
    INSERT INTO passing (slot, tenant, topic, epoch, off, time, kind, occurred_at, id, name, who, source, key, schema,
                         headers, data)
    SELECT v_slot, u.tenant, u.topic, u.epoch, u.off, u.time, u.kind, u.occurred_at, u.id, u.name, u.who, u.source,
           u.key, u.schema, u.headers::jsonb, u.data
    FROM unnest(p_tenant, p_topic, v_epoch, v_off, v_time, p_kind, p_occurred_at, p_id, p_name, p_who, p_source, p_key,
                p_schema, p_headers, p_data)
        AS u (tenant, topic, epoch, off, time, kind, occurred_at, id, name, who, source, key, schema, headers, data);
    RETURN QUERY SELECT 0::smallint, u.epoch, u.off, u.off - 1, u.time FROM unnest(v_epoch, v_off, v_time) AS u (epoch, off, time);
END $$;

CREATE FUNCTION purge_passing(p_now bigint, p_tenant text, p_topic text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_epoch bigint := new_epoch();
BEGIN
    INSERT INTO passing_topic (tenant, topic, epoch) VALUES (p_tenant, p_topic, v_epoch)
    ON CONFLICT (tenant, topic) DO UPDATE SET epoch = excluded.epoch, top = 0, last_time = NULL, last_id = NULL;
    INSERT INTO passing (slot, tenant, topic, epoch, off, time, kind, id, data)
    VALUES (passing_slot(0), p_tenant, p_topic, v_epoch, 0, p_now, -1, '', '');
END $$;

-- Empties the table whose turn is next, and forgets topics that nothing passed through for a day: they come back in
-- another epoch.
CREATE FUNCTION sweep_passing(p_now bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_name text := 'passing_' || passing_slot(1);
    v_full boolean;
BEGIN
    EXECUTE format('SELECT EXISTS (SELECT 1 FROM %I)', v_name) INTO v_full;
    IF v_full THEN
        -- Whoever waits for this lock makes all readers wait, and a backup may hold it for hours: then next time.
        BEGIN
            PERFORM set_config('lock_timeout', '100ms', true);
            EXECUTE format('TRUNCATE %I', v_name);
        EXCEPTION WHEN lock_not_available THEN
            NULL;
        END;
    END IF;
    DELETE FROM passing_topic WHERE last_time < p_now - 86400000000;
    IF FOUND THEN
        UPDATE passing_meta SET epoch = new_epoch();
    END IF;
END $$;
