-- Writes a stretch of a log that another engine had, if the topic is as it is expected to be. Whether it is.
CREATE FUNCTION restore(
    p_tenant text, p_topic text, p_known_top bigint, p_epoch bigint, p_top bigint, p_tag integer, p_time bigint,
    p_events_max bigint, p_bytes_max bigint, p_age_max bigint,
    p_off bigint[], p_prev bigint[], p_at bigint[], p_id text[], p_size integer[], p_kind smallint[], p_data bytea[],
    p_occurred_at bigint[], p_name text[], p_who text[], p_source text[], p_key text[], p_schema text[], p_headers text[]
) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    n integer := coalesce(cardinality(p_off), 0);
    h topic := lock_topic(p_tenant, p_topic, true);
    v_cum bigint[] := '{}';
    v_skipped bigint[] := '{}';
    v_day bigint;
BEGIN
    IF h.top <> p_known_top OR h.top > 0 AND h.epoch <> p_epoch THEN
        RETURN false;
    END IF;
    IF h.top = 0 THEN
        h.first := CASE WHEN n > 0 THEN p_off[1] ELSE p_top + 1 END;
    END IF;
    FOR i IN 1..n LOOP
        -- What is missing before the first one was kept once.
        IF h.top > 0 THEN
            h.skipped := h.skipped + p_off[i] - p_prev[i] - 1;
        END IF;
        h.top := p_off[i];
        h.total := h.total + p_size[i];
        h.last_time := p_at[i];
        h.last_id := p_id[i];
        v_cum := array_append(v_cum, h.total);
        v_skipped := array_append(v_skipped, nullif(h.skipped, 0));
    END LOOP;
    IF n = 0 AND h.top = 0 THEN
        h.top := p_top;
        h.last_tag := p_tag;
        h.last_time := p_time;
    END IF;
    FOR v_day IN SELECT DISTINCT floor(u / 86400000000.0)::bigint * 86400000000 FROM unnest(p_at) u LOOP
        PERFORM make_day(v_day);
    END LOOP;
    INSERT INTO log (life, off, time, cum, size, kind, outside, prev, skipped, occurred_at, id, name, who, source, key,
                     schema, headers, data)
    SELECT h.life, u.off, u.at, u.cum, u.size, u.kind, false, nullif(u.prev, u.off - 1), u.skipped, u.occurred_at, u.id,
           u.name, u.who, u.source, u.key, u.schema, u.headers::jsonb, u.data
    FROM unnest(p_off, p_prev, p_at, v_cum, v_skipped, p_id, p_size, p_kind, p_data, p_occurred_at, p_name, p_who,
                p_source, p_key, p_schema, p_headers)
        AS u (off, prev, at, cum, skipped, id, size, kind, data, occurred_at, name, who, source, key, schema, headers);
    UPDATE topic t
    SET epoch = p_epoch, top = h.top, first = h.first, skipped = h.skipped, total = h.total, last_time = h.last_time,
        last_id = h.last_id, last_tag = h.last_tag, age_max = p_age_max, due = CASE WHEN p_age_max IS NOT NULL THEN 0 END,
        appended = true
    WHERE t.life = h.life;
    PERFORM trim_topics(ARRAY[h.life], ARRAY[p_events_max], ARRAY[p_bytes_max]);
    RETURN true;
END $$;
REVOKE EXECUTE ON FUNCTION restore FROM PUBLIC;
