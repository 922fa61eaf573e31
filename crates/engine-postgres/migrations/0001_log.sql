-- The log of every topic. Everything lies in one schema, which is first in the search path of whoever runs this.
-- Times are microseconds since 1970; epochs are numbers of 32 bits, never 0.

CREATE FUNCTION new_epoch() RETURNS bigint LANGUAGE sql VOLATILE AS $$
    SELECT 1 + floor(random() * 4294967294)::bigint
$$;

CREATE FUNCTION micros(at timestamptz) RETURNS bigint LANGUAGE sql STABLE AS $$
    SELECT (extract(epoch FROM at) * 1000000)::bigint
$$;

-- The epoch of every topic that was never appended to.
CREATE TABLE meta (one boolean PRIMARY KEY DEFAULT true CHECK (one), epoch bigint NOT NULL);
INSERT INTO meta (epoch) VALUES (new_epoch());

-- What applications that call publish() need to know of the configuration. Written by every node at its start.
CREATE TABLE policy (
    kind text COLLATE "C" PRIMARY KEY,
    history boolean NOT NULL,
    events_max bigint,
    bytes_max bigint,
    age_max bigint,
    idempotency_window bigint NOT NULL,
    event_bytes_max bigint NOT NULL
);
INSERT INTO policy VALUES ('*', true, 1000, NULL, 86400000000, 300000000, 1048576);

-- The head of every topic, locked by whoever appends: the order of locks is the order of offsets. `life` says which
-- rows of the log are its own: a topic that is purged begins another one. `due` is not later than the time at which
-- its oldest event is too old; it is in an index, so it changes rarely, or no update would be within the page. `last_tag`
-- is the tag of the last event where its id is not known: of a log that was taken over when nothing of it was kept.
CREATE SEQUENCE life;
CREATE TABLE topic (
    tenant text COLLATE "C" NOT NULL,
    topic text COLLATE "C" NOT NULL,
    life bigint NOT NULL DEFAULT nextval('life'),
    epoch bigint NOT NULL,
    top bigint NOT NULL DEFAULT 0,
    first bigint NOT NULL DEFAULT 1,
    skipped bigint NOT NULL DEFAULT 0,
    total bigint NOT NULL DEFAULT 0,
    last_time bigint,
    last_id text COLLATE "C",
    last_tag integer,
    age_max bigint,
    due bigint,
    appended boolean NOT NULL DEFAULT false,
    PRIMARY KEY (tenant, topic)
) WITH (fillfactor = 50);
ALTER SEQUENCE life OWNED BY topic.life;
CREATE UNIQUE INDEX topic_life ON topic (life);
CREATE INDEX topic_due ON topic (due) WHERE due IS NOT NULL;

-- The events, a table a day, which is dropped whole when nobody keeps anything of it. An event before the `first` of
-- its topic is dead: it is not read any more, but still says that its id was there. `cum` is the bytes of the topic up
-- to here, `prev` and `skipped` (offsets that were never given out) are null where offsets are dense. `outside` is an
-- event of an application. Offset 0 says that the life began with a purge.
CREATE TABLE log (
    life bigint NOT NULL,
    off bigint NOT NULL,
    time bigint NOT NULL,
    xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
    cum bigint NOT NULL,
    size integer NOT NULL,
    kind smallint NOT NULL,
    outside boolean NOT NULL,
    prev bigint,
    skipped bigint,
    occurred_at bigint,
    id text COLLATE "C" NOT NULL,
    name text COLLATE "C",
    who text COLLATE "C",
    source text COLLATE "C",
    key text COLLATE "C",
    schema text COLLATE "C",
    headers jsonb,
    data bytea NOT NULL,
    PRIMARY KEY (life, off, time)
) PARTITION BY RANGE (time);
CREATE INDEX log_id ON log (life, id);
CREATE INDEX log_xid ON log (xid);

CREATE TABLE day (name text PRIMARY KEY, until bigint NOT NULL, compacted bigint NOT NULL DEFAULT 0);

-- Makes the table of the day that a time is in. Attaching, unlike creating in place, lets others write meanwhile.
CREATE FUNCTION make_day(p_time bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_from bigint := floor(p_time / 86400000000.0)::bigint * 86400000000;
    v_name text := 'log_' || to_char(to_timestamp(v_from / 1000000) AT TIME ZONE 'UTC', 'YYYYMMDD');
BEGIN
    IF to_regclass(v_name) IS NOT NULL THEN
        RETURN;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended(current_schema() || '/days', 0));
    -- The lock does not refresh what is cached of the catalogue; a row of a table is as it is.
    IF EXISTS (SELECT 1 FROM day WHERE name = v_name) THEN
        RETURN;
    END IF;
    EXECUTE format('CREATE TABLE %I (LIKE log INCLUDING ALL)', v_name);
    EXECUTE format('ALTER TABLE log ATTACH PARTITION %I FOR VALUES FROM (%s) TO (%s)', v_name, v_from,
                   v_from + 86400000000);
    INSERT INTO day (name, until) VALUES (v_name, v_from + 86400000000);
END $$;

-- Locks the head of a topic, made if there is none. Null if somebody else holds it and `p_wait` is false.
CREATE FUNCTION lock_topic(p_tenant text, p_topic text, p_wait boolean) RETURNS topic LANGUAGE plpgsql AS $$
DECLARE
    h topic;
    v_key bigint;
BEGIN
    IF p_wait THEN
        SELECT * INTO h FROM topic WHERE tenant = p_tenant AND topic = p_topic FOR UPDATE;
    ELSE
        SELECT * INTO h FROM topic WHERE tenant = p_tenant AND topic = p_topic FOR UPDATE SKIP LOCKED;
        IF NOT FOUND AND EXISTS (SELECT 1 FROM topic WHERE tenant = p_tenant AND topic = p_topic) THEN
            RETURN NULL;
        END IF;
    END IF;
    IF h.life IS NOT NULL THEN
        RETURN h;
    END IF;
    -- Two who insert the same row would wait for each other without a choice.
    v_key := hashtextextended(current_schema() || '/' || p_tenant || '/' || p_topic, 0);
    IF p_wait THEN
        PERFORM pg_advisory_xact_lock(v_key);
    ELSIF NOT pg_try_advisory_xact_lock(v_key) THEN
        RETURN NULL;
    END IF;
    INSERT INTO topic (tenant, topic, epoch) SELECT p_tenant, p_topic, m.epoch FROM meta m ON CONFLICT DO NOTHING;
    SELECT * INTO h FROM topic WHERE tenant = p_tenant AND topic = p_topic FOR UPDATE;
    RETURN h;
END $$;

-- Lets go of what topics do not keep: more than so many events or bytes, each null for any number.
CREATE FUNCTION trim_topics(p_life bigint[], p_events bigint[], p_bytes bigint[]) RETURNS void LANGUAGE sql AS $$
    UPDATE topic t
    SET first = greatest(
        t.first,
        CASE WHEN u.bytes IS NOT NULL THEN coalesce((
            SELECT l.off FROM log l
            WHERE l.life = t.life AND l.off >= t.first AND t.total - (l.cum - l.size) <= u.bytes
            ORDER BY l.off LIMIT 1), t.top + 1) END,
        CASE WHEN u.events IS NOT NULL THEN coalesce((
            SELECT l.off FROM log l
            WHERE l.life = t.life AND l.off >= t.first
              AND (t.top - t.skipped) - (l.off - coalesce(l.skipped, 0)) < u.events
            ORDER BY l.off LIMIT 1), t.top + 1) END)
    FROM unnest(p_life, p_events, p_bytes) AS u (life, events, bytes)
    WHERE t.life = u.life
$$;

-- Appends events, which come sorted by topic, and no id of a topic twice. Says of each item where it is and whether it
-- is stored now (0), was stored before (1), or not at all because its topic is locked (2).
CREATE FUNCTION append(
    p_now bigint, p_wait boolean, p_outside boolean,
    p_tenant text[], p_topic text[], p_id text[], p_size integer[], p_kind smallint[], p_data bytea[],
    p_occurred_at bigint[], p_name text[], p_who text[], p_source text[], p_key text[], p_schema text[], p_headers text[],
    p_events_max bigint[], p_bytes_max bigint[], p_age_max bigint[], p_window bigint[]
) RETURNS TABLE (state smallint, epoch bigint, off bigint, prev bigint, at bigint) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    n integer := cardinality(p_topic);
    h topic;
    heads topic[] := '{}';
    v_head integer[] := array_fill(0, ARRAY[n]);
    v_life bigint[] := array_fill(NULL::bigint, ARRAY[n]);
    v_dup_off bigint[];
    v_dup_time bigint[];
    v_state smallint[] := array_fill(0::smallint, ARRAY[n]);
    v_epoch bigint[] := array_fill(NULL::bigint, ARRAY[n]);
    v_off bigint[] := array_fill(NULL::bigint, ARRAY[n]);
    v_prev bigint[] := array_fill(NULL::bigint, ARRAY[n]);
    v_time bigint[] := array_fill(NULL::bigint, ARRAY[n]);
    v_cum bigint[] := array_fill(NULL::bigint, ARRAY[n]);
    v_skipped bigint[] := array_fill(NULL::bigint, ARRAY[n]);
    v_days bigint[] := '{}';
    v_day bigint;
    v_heavy bigint[] := '{}';
    v_heavy_events bigint[] := '{}';
    v_heavy_bytes bigint[] := '{}';
    i integer;
    g integer := 0;
BEGIN
    -- Locks first, so that whatever is looked up afterwards is final.
    FOR i IN 1..n LOOP
        IF i = 1 OR p_topic[i] <> p_topic[i - 1] OR p_tenant[i] <> p_tenant[i - 1] THEN
            h := lock_topic(p_tenant[i], p_topic[i], p_wait);
            heads := array_append(heads, h);
            g := g + 1;
        END IF;
        v_head[i] := g;
        v_life[i] := h.life;
    END LOOP;

    SELECT array_agg(d.off ORDER BY u.i), array_agg(d.time ORDER BY u.i) INTO v_dup_off, v_dup_time
    FROM unnest(v_life, p_id, p_window) WITH ORDINALITY AS u (life, id, win, i)
    LEFT JOIN LATERAL (
        SELECT l.off, l.time FROM log l
        WHERE l.life = u.life AND l.id = u.id AND l.time > p_now - u.win AND l.off > 0 LIMIT 1
    ) d ON u.win > 0;

    g := 0;
    FOR i IN 1..n LOOP
        IF v_head[i] <> g THEN
            IF g > 0 THEN
                heads[g] := h;
            END IF;
            g := v_head[i];
            h := heads[g];
        END IF;
        v_epoch[i] := h.epoch;
        IF h.life IS NULL THEN
            v_state[i] := 2;
        ELSIF v_dup_off[i] IS NOT NULL THEN
            v_state[i] := 1;
            v_off[i] := v_dup_off[i];
            v_time[i] := v_dup_time[i];
        ELSE
            v_prev[i] := h.top;
            h.top := h.top + 1;
            h.total := h.total + p_size[i];
            h.last_time := greatest(p_now, coalesce(h.last_time, p_now));
            h.last_id := p_id[i];
            h.appended := true;
            v_off[i] := h.top;
            v_time[i] := h.last_time;
            v_cum[i] := h.total;
            v_skipped[i] := nullif(h.skipped, 0);
            v_day := floor(h.last_time / 86400000000.0)::bigint * 86400000000;
            IF NOT v_day = ANY (v_days) THEN
                PERFORM make_day(v_day);
                v_days := v_days || v_day;
            END IF;
            IF h.age_max IS DISTINCT FROM p_age_max[i] THEN
                -- The sweep finds out what this means for what is there already.
                h.age_max := p_age_max[i];
                h.due := CASE WHEN h.age_max IS NOT NULL THEN 0 END;
            ELSIF h.age_max IS NOT NULL AND h.due IS NULL THEN
                h.due := h.last_time + h.age_max;
            END IF;
            IF p_events_max[i] IS NOT NULL AND h.skipped = 0 THEN
                h.first := greatest(h.first, h.top - p_events_max[i] + 1);
            END IF;
            -- The topic's last item decides about what has to be looked up.
            IF (p_bytes_max[i] IS NOT NULL OR p_events_max[i] IS NOT NULL AND h.skipped > 0)
                AND (i = n OR v_head[i + 1] <> g) THEN
                v_heavy := v_heavy || h.life;
                v_heavy_events := v_heavy_events || CASE WHEN h.skipped > 0 THEN p_events_max[i] END;
                v_heavy_bytes := v_heavy_bytes || p_bytes_max[i];
            END IF;
        END IF;
    END LOOP;
    IF g > 0 THEN
        heads[g] := h;
    END IF;

    INSERT INTO log (life, off, time, cum, size, kind, outside, skipped, occurred_at, id, name, who, source, key, schema,
                     headers, data)
    SELECT u.life, u.off, u.time, u.cum, u.size, u.kind, p_outside, u.skipped, u.occurred_at, u.id, u.name, u.who,
           u.source, u.key, u.schema, u.headers::jsonb, u.data
    FROM unnest(v_state, v_life, v_off, v_time, v_cum, p_size, p_kind, v_skipped, p_occurred_at, p_id, p_name, p_who,
                p_source, p_key, p_schema, p_headers, p_data)
        AS u (state, life, off, time, cum, size, kind, skipped, occurred_at, id, name, who, source, key, schema, headers,
              data)
    WHERE u.state = 0;

    UPDATE topic t
    SET top = u.top, first = u.first, total = u.total, last_time = u.last_time, last_id = u.last_id,
        age_max = u.age_max, due = u.due, appended = u.appended
    FROM unnest(heads) u
    WHERE t.life = u.life AND t.top <> u.top;

    IF v_heavy <> '{}' THEN
        PERFORM trim_topics(v_heavy, v_heavy_events, v_heavy_bytes);
    END IF;

    RETURN QUERY SELECT u.* FROM unnest(v_state, v_epoch, v_off, v_prev, v_time) AS u;
END $$;

-- Begins another life of a topic, and says so in the log.
CREATE FUNCTION purge(p_now bigint, p_tenant text, p_topic text, p_outside boolean) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    h topic := lock_topic(p_tenant, p_topic, true);
    v_epoch bigint;
    v_life bigint := nextval('life');
BEGIN
    LOOP
        v_epoch := new_epoch();
        EXIT WHEN v_epoch <> h.epoch;
    END LOOP;
    UPDATE topic
    SET life = v_life, epoch = v_epoch, top = 0, first = 1, skipped = 0, total = 0, last_time = NULL, last_id = NULL,
        last_tag = NULL, due = NULL
    WHERE topic.life = h.life;
    PERFORM make_day(p_now);
    INSERT INTO log (life, off, time, cum, size, kind, outside, id, data)
    VALUES (v_life, 0, p_now, 0, 0, -1, p_outside, '', '');
END $$;

CREATE FUNCTION truncate_before(p_tenant text, p_topic text, p_off bigint) RETURNS void LANGUAGE sql AS $$
    UPDATE topic t
    SET first = greatest(t.first, coalesce((
        SELECT l.off FROM log l WHERE l.life = t.life AND l.off >= greatest(p_off, t.first) ORDER BY l.off LIMIT 1
    ), t.top + 1))
    WHERE t.tenant = p_tenant AND t.topic = p_topic
$$;

-- Lets go of events that are too old, of some topics; says of how many topics, and how many events.
CREATE FUNCTION sweep(p_now bigint, p_topics integer) RETURNS TABLE (topics bigint, events bigint) LANGUAGE sql AS $$
    WITH picked AS MATERIALIZED (
        SELECT * FROM topic WHERE due < p_now ORDER BY due LIMIT p_topics FOR UPDATE SKIP LOCKED
    ), found AS MATERIALIZED (
        SELECT p.life, p.age_max, coalesce(f.off, p.top + 1) AS first, f.time,
               CASE WHEN p.first > p.top THEN 0
                    ELSE coalesce(f.off - f.skipped, p.top + 1 - p.skipped) - (p.first - coalesce(o.skipped, 0)) END AS gone
        FROM picked p
        LEFT JOIN LATERAL (
            SELECT l.off, l.time, coalesce(l.skipped, 0) AS skipped FROM log l
            WHERE l.life = p.life AND l.off >= p.first AND (p.age_max IS NULL OR l.time >= p_now - p.age_max)
            ORDER BY l.off LIMIT 1
        ) f ON true
        LEFT JOIN LATERAL (
            SELECT coalesce(l.skipped, 0) AS skipped FROM log l WHERE l.life = p.life AND l.off = p.first LIMIT 1
        ) o ON true
    ), swept AS (
        UPDATE topic t SET first = f.first, due = f.time + f.age_max FROM found f WHERE t.life = f.life RETURNING f.gone
    )
    SELECT count(*), coalesce(sum(gone), 0)::bigint FROM swept
$$;

-- Drops the table of a day if nobody keeps anything of it, or else what nobody keeps. Says how many events went, or null
-- if all did. Goes through whole tables, unlike everything else that nodes ask (which plan accordingly).
CREATE FUNCTION retire_day(p_now bigint, p_name text) RETURNS bigint LANGUAGE plpgsql
SET enable_seqscan = on SET enable_hashjoin = on AS $$
DECLARE
    v_lives boolean;
    v_gone bigint;
BEGIN
    -- Nobody writes to it, but a transaction of an application that has been open since that day: its events would be seen
    -- neither here nor afterwards.
    EXECUTE format('LOCK TABLE %I IN SHARE ROW EXCLUSIVE MODE', p_name);
    EXECUTE format('SELECT EXISTS (SELECT 1 FROM topic t WHERE EXISTS (
        SELECT 1 FROM %I l WHERE l.life = t.life AND l.off >= t.first))', p_name) INTO v_lives;
    IF NOT v_lives THEN
        EXECUTE format('DROP TABLE %I', p_name);
        DELETE FROM day WHERE name = p_name;
        RETURN NULL;
    END IF;
    EXECUTE format('DELETE FROM %I l WHERE NOT EXISTS (
        SELECT 1 FROM topic t WHERE t.life = l.life AND l.off >= t.first)', p_name);
    GET DIAGNOSTICS v_gone = ROW_COUNT;
    UPDATE day SET compacted = p_now WHERE name = p_name;
    RETURN v_gone;
END $$;
