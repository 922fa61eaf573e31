-- What applications call in their own transaction: the event is published if and when that commits.

CREATE FUNCTION check_name(p_what text, p_text text, p_bytes_max integer) RETURNS void LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    IF p_text IS NULL THEN
        RETURN;
    END IF;
    IF p_text = '' OR octet_length(p_text) > p_bytes_max THEN
        RAISE EXCEPTION '% has % bytes; 1 to % are allowed', p_what, octet_length(p_text), p_bytes_max
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF p_text ~ '[\u0001-\u001f\u007f-\u009f\u00ad\u0600-\u0605\u061c\u06dd\u070f\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\U000e0001\U000e0020-\U000e007f]' COLLATE "C" THEN
        RAISE EXCEPTION '% has control or invisible format characters, which are not allowed', p_what
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
END $$;

-- Publishes an event. Returns its offset, and whether the same event_id was there already (then nothing was stored and
-- the offset is the first one's). The topic stays locked until the transaction ends. Whoever may use the schema may call
-- it; it runs with the rights of its owner.
CREATE FUNCTION publish(
    topic text, data jsonb, name text DEFAULT NULL, event_id text DEFAULT NULL, tenant text DEFAULT 'default',
    key text DEFAULT NULL, user_id text DEFAULT NULL, occurred_at timestamptz DEFAULT NULL, headers jsonb DEFAULT NULL,
    data_schema text DEFAULT NULL
) RETURNS TABLE (event_offset bigint, duplicate boolean) LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT
-- Planned once, by the indexes: to plan it each time takes as long as the rest.
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
#variable_conflict use_variable
DECLARE
    v_kind text := split_part(topic, ':', 1);
    v_policy policy;
    v_id text := coalesce(event_id, gen_random_uuid()::text);
    v_data bytea := convert_to(coalesce(data, 'null')::text, 'UTF8');
    v_headers_size bigint := 0;
    v_size bigint;
    v_bad text;
BEGIN
    PERFORM check_name('topic', coalesce(topic, ''), 255);
    PERFORM check_name('tenant', coalesce(tenant, ''), 64);
    PERFORM check_name('event_id', v_id, 128);
    PERFORM check_name('name', name, 128);
    PERFORM check_name('key', key, 255);
    PERFORM check_name('user_id', user_id, 255);
    PERFORM check_name('data_schema', data_schema, 255);
    IF v_kind !~ '^[A-Za-z0-9_.-]{1,50}$' OR topic LIKE '%:' AND topic = v_kind || ':' THEN
        RAISE EXCEPTION 'topic % is not of the form kind or kind:id', topic USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF starts_with(name, 'fanfare.') THEN
        RAISE EXCEPTION 'name begins with fanfare., which is kept for the server''s own events'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF octet_length(v_data) > 200 AND jsonb_path_exists(data, 'strict $.**{100 to last} ? (@.type() == "object" || @.type() == "array")') THEN
        RAISE EXCEPTION 'data is nested more than 100 levels deep' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF headers IS NOT NULL THEN
        IF jsonb_typeof(headers) <> 'object' THEN
            RAISE EXCEPTION 'headers are not an object' USING ERRCODE = 'invalid_parameter_value';
        END IF;
        SELECT max(e.key) INTO v_bad FROM jsonb_each(headers) e
        WHERE jsonb_typeof(e.value) <> 'string' OR e.key !~ '^[!-@[-~]{1,64}$' COLLATE "C";
        IF v_bad IS NOT NULL THEN
            RAISE EXCEPTION 'header % is not a string under 1 to 64 of visible ASCII in lower case', v_bad
                USING ERRCODE = 'invalid_parameter_value';
        END IF;
        PERFORM check_name('header value', nullif(e.value, ''), 4096) FROM jsonb_each_text(headers) e;
        SELECT coalesce(sum(octet_length(e.key) + octet_length(e.value)), 0) INTO v_headers_size FROM jsonb_each_text(headers) e;
        IF v_headers_size > 4096 OR (SELECT count(*) FROM jsonb_object_keys(headers)) > 16 THEN
            RAISE EXCEPTION 'headers are more than 16, or have more than 4096 bytes in all'
                USING ERRCODE = 'invalid_parameter_value';
        END IF;
    END IF;

    SELECT p.* INTO v_policy FROM policy p WHERE p.kind IN (v_kind, '*') ORDER BY p.kind = '*' LIMIT 1;
    IF NOT v_policy.history THEN
        RAISE EXCEPTION 'topics of kind % keep no history, so that nothing of a transaction could be kept for them', v_kind
            USING ERRCODE = 'feature_not_supported';
    END IF;
    v_size := octet_length(v_data) + octet_length(v_id) + coalesce(octet_length(name), 0) + octet_length('postgres')
        + coalesce(octet_length(user_id), 0) + coalesce(octet_length(key), 0) + coalesce(octet_length(data_schema), 0)
        + v_headers_size;
    IF v_size > v_policy.event_bytes_max THEN
        RAISE EXCEPTION 'the event has % bytes; topics of kind % allow at most %', v_size, v_kind, v_policy.event_bytes_max
            USING ERRCODE = 'program_limit_exceeded';
    END IF;

    RETURN QUERY
    SELECT a.off, a.state = 1
    FROM append(
        micros(clock_timestamp()), true, true,
        ARRAY[tenant], ARRAY[topic], ARRAY[v_id], ARRAY[v_size::integer], ARRAY[0::smallint], ARRAY[v_data],
        ARRAY[micros(occurred_at)], ARRAY[name], ARRAY[user_id], ARRAY['postgres'::text], ARRAY[key], ARRAY[data_schema],
        ARRAY[nullif(headers, '{}')::text], ARRAY[v_policy.events_max], ARRAY[v_policy.bytes_max],
        ARRAY[v_policy.age_max], ARRAY[v_policy.idempotency_window]
    ) a;
END $$;

-- Wakes every node, so that what was just committed is delivered at once and not at the next look. To be called after the
-- commit: within a transaction that publishes it would make all such transactions commit one after the other.
CREATE FUNCTION bell() RETURNS void LANGUAGE sql SECURITY DEFINER SET search_path FROM CURRENT AS $$
    SELECT pg_notify(current_schema() || '.bell', '')
$$;

-- Only publish and bell are for everybody who may use the schema.
DO $$
BEGIN
    EXECUTE format('REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA %I FROM PUBLIC', current_schema());
END $$;
GRANT EXECUTE ON FUNCTION publish, bell TO PUBLIC;
