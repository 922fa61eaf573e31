-- Who is in which topic. Changes do not wait for the disk: a crash may lose the latest, which then begins another life
-- (the table of it is emptied by a crash, and is empty on a standby that takes over), and nodes enter their sessions
-- again.

CREATE UNLOGGED TABLE presence_life (one boolean PRIMARY KEY DEFAULT true CHECK (one), life text NOT NULL, floor bigint NOT NULL);

-- Positions in the feed grow and are taken from the clock, so that they never go back. The row is locked by whoever
-- changes anything in the shard, so that the order of positions is the order of commits.
CREATE TABLE presence_shard (
    shard integer PRIMARY KEY,
    position bigint NOT NULL DEFAULT 0,
    floor bigint NOT NULL DEFAULT 0,
    waiting bigint NOT NULL DEFAULT 0,
    seats bigint NOT NULL DEFAULT 0,
    fence bigint NOT NULL DEFAULT 0,
    fed bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 10);

CREATE TABLE presence_feed (
    shard integer NOT NULL,
    position bigint NOT NULL,
    change text NOT NULL,
    PRIMARY KEY (shard, position)
);

CREATE TABLE presence_holder (
    holder text COLLATE "C" PRIMARY KEY,
    until timestamptz NOT NULL,
    life text NOT NULL,
    dead boolean NOT NULL DEFAULT false
);

CREATE TABLE presence_topic (
    tenant text COLLATE "C" NOT NULL,
    topic text COLLATE "C" NOT NULL,
    shard integer NOT NULL,
    life text NOT NULL,
    rev bigint NOT NULL,
    began bigint NOT NULL,
    members bigint NOT NULL DEFAULT 0,
    seats bigint NOT NULL DEFAULT 0,
    users bigint NOT NULL DEFAULT 0,
    members_max bigint NOT NULL,
    number_only boolean NOT NULL DEFAULT false,
    PRIMARY KEY (tenant, topic)
) WITH (fillfactor = 50);

CREATE TABLE presence_member (
    tenant text COLLATE "C" NOT NULL,
    topic text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    who text COLLATE "C",
    info text,
    data text,
    since bigint NOT NULL,
    seats integer NOT NULL,
    PRIMARY KEY (tenant, topic, id)
);

CREATE TABLE presence_seat (
    tenant text COLLATE "C" NOT NULL,
    topic text COLLATE "C" NOT NULL,
    session text COLLATE "C" NOT NULL,
    member text COLLATE "C" NOT NULL,
    who text COLLATE "C",
    holder text COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant, topic, session)
);
CREATE INDEX presence_seat_session ON presence_seat (tenant, session);
CREATE INDEX presence_seat_who ON presence_seat (tenant, who, topic) WHERE who IS NOT NULL;
CREATE INDEX presence_seat_holder ON presence_seat (holder);

CREATE FUNCTION presence_now() RETURNS presence_life LANGUAGE plpgsql AS $$
DECLARE
    v presence_life;
BEGIN
    SELECT * INTO v FROM presence_life;
    IF NOT FOUND THEN
        INSERT INTO presence_life (life, floor) VALUES (gen_random_uuid()::text, micros(clock_timestamp()))
        ON CONFLICT DO NOTHING;
        SELECT * INTO v FROM presence_life;
    END IF;
    RETURN v;
END $$;

CREATE FUNCTION presence_lock(p_shard integer) RETURNS presence_shard LANGUAGE plpgsql AS $$
DECLARE
    s presence_shard;
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);
    SELECT * INTO s FROM presence_shard WHERE shard = p_shard FOR UPDATE;
    RETURN s;
END $$;

-- Counts a revision of a topic, whose row is up to date otherwise, and puts it in the feed. Returns its position.
CREATE FUNCTION presence_changed(
    p_tenant text, p_topic text, p_what text, p_id text, p_who text, p_info text, p_data text, p_since bigint
) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    t presence_topic;
    v_life presence_life := presence_now();
    v_prev bigint;
    v_telling text;
    v_at bigint := micros(clock_timestamp());
    v_position bigint;
BEGIN
    SELECT * INTO t FROM presence_topic WHERE tenant = p_tenant AND topic = p_topic;
    v_prev := CASE WHEN t.rev = t.began THEN 0 ELSE t.rev END;
    IF t.life <> v_life.life THEN
        t.rev := greatest(t.rev, v_life.floor);
        v_prev := t.rev;
    END IF;
    v_telling := CASE
        WHEN t.members > t.members_max THEN 'occupancy'
        WHEN NOT t.number_only THEN 'members'
        WHEN t.members <= t.members_max - (t.members_max + 9) / 10 THEN 'members_again'
        ELSE 'occupancy' END;
    UPDATE presence_topic SET rev = t.rev + 1, life = v_life.life, number_only = v_telling = 'occupancy'
    WHERE tenant = p_tenant AND topic = p_topic;
    UPDATE presence_shard SET position = greatest(position + 1, v_at), waiting = waiting + 1 WHERE shard = t.shard
    RETURNING position INTO v_position;
    INSERT INTO presence_feed (shard, position, change) VALUES (t.shard, v_position, concat(
        '{"tenant":', to_json(p_tenant), ',"topic":', to_json(p_topic), ',"life":', to_json(v_life.life), ',"rev":', t.rev + 1,
        ',"prev":', v_prev, ',"count":', t.members, ',"at":', v_at, ',"telling":"', v_telling, '","', p_what, '":{"id":',
        to_json(p_id), ',"user":' || to_json(p_who)::text, ',"info":' || p_info, ',"data":' || p_data, ',"since":', p_since, '}}'));
    RETURN v_position;
END $$;

-- Makes a session a member. `state`: 0 done, 1 it is in too many topics, 2 there is no room.
CREATE FUNCTION presence_enter(
    p_shard integer, p_tenant text, p_topic text, p_session text, p_id text, p_who text, p_info text, p_data text,
    p_since bigint, p_holder text, p_members_max bigint, p_topics_max bigint, p_seats_max bigint, p_waiting_max bigint,
    p_lease bigint
) RETURNS TABLE (state smallint, rev bigint, changed_at bigint) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    s presence_shard := presence_lock(p_shard);
    v_life presence_life := presence_now();
    v_seat presence_seat;
    v_is_new boolean;
    m presence_member;
    v_info text;
    v_data text;
    v_position bigint := 0;
BEGIN
    INSERT INTO presence_holder (holder, until, life)
    SELECT p_holder, clock_timestamp() + p_lease * interval '1 microsecond', v_life.life
    WHERE NOT EXISTS (SELECT 1 FROM presence_holder WHERE holder = p_holder) ON CONFLICT DO NOTHING;
    SELECT * INTO v_seat FROM presence_seat
    WHERE tenant = p_tenant AND topic = p_topic AND session = p_session FOR UPDATE;
    v_is_new := NOT FOUND;
    IF v_is_new THEN
        IF (SELECT count(*) FROM presence_seat WHERE tenant = p_tenant AND session = p_session) >= p_topics_max THEN
            RETURN QUERY SELECT 1::smallint, 0::bigint, 0::bigint;
            RETURN;
        END IF;
        IF s.waiting >= p_waiting_max OR (SELECT sum(seats) FROM presence_shard) >= p_seats_max THEN
            RETURN QUERY SELECT 2::smallint, 0::bigint, 0::bigint;
            RETURN;
        END IF;
        INSERT INTO presence_topic AS t (tenant, topic, shard, life, rev, began, members_max)
        SELECT p_tenant, p_topic, p_shard, v_life.life, f, f, p_members_max FROM greatest(s.floor, v_life.floor) AS f
        ON CONFLICT DO NOTHING;
        UPDATE presence_topic t SET seats = seats + 1, members_max = p_members_max, users = users + CASE
            WHEN p_who IS NOT NULL AND NOT EXISTS (
                SELECT 1 FROM presence_seat o WHERE o.tenant = p_tenant AND o.who = p_who AND o.topic = p_topic
            ) THEN 1 ELSE 0 END
        WHERE t.tenant = p_tenant AND t.topic = p_topic;
        UPDATE presence_shard SET seats = seats + 1 WHERE shard = p_shard;
        INSERT INTO presence_seat (tenant, topic, session, member, who, holder)
        VALUES (p_tenant, p_topic, p_session, p_id, p_who, p_holder) RETURNING * INTO v_seat;
    ELSE
        UPDATE presence_seat SET holder = p_holder
        WHERE tenant = p_tenant AND topic = p_topic AND session = p_session AND holder <> p_holder;
        UPDATE presence_topic SET members_max = p_members_max
        WHERE tenant = p_tenant AND topic = p_topic AND members_max <> p_members_max;
    END IF;
    -- A session stays the member that it is.
    SELECT * INTO m FROM presence_member WHERE tenant = p_tenant AND topic = p_topic AND id = v_seat.member;
    IF NOT FOUND THEN
        INSERT INTO presence_member (tenant, topic, id, who, info, data, since, seats)
        VALUES (p_tenant, p_topic, v_seat.member, p_who, p_info, p_data, p_since, 1);
        UPDATE presence_topic SET members = members + 1 WHERE tenant = p_tenant AND topic = p_topic;
        v_position := presence_changed(p_tenant, p_topic, 'join', v_seat.member, p_who, p_info, p_data, p_since);
    ELSE
        -- A further session of a user that says nothing takes nothing back.
        v_data := CASE WHEN v_is_new THEN coalesce(p_data, m.data) ELSE p_data END;
        v_info := coalesce(p_info, m.info);
        UPDATE presence_member SET seats = seats + v_is_new::integer, info = v_info, data = v_data
        WHERE tenant = p_tenant AND topic = p_topic AND id = m.id;
        IF v_data IS DISTINCT FROM m.data OR v_info IS DISTINCT FROM m.info THEN
            v_position := presence_changed(p_tenant, p_topic, 'update', m.id, m.who, v_info, v_data, m.since);
        END IF;
    END IF;
    RETURN QUERY SELECT 0::smallint, t.rev, v_position FROM presence_topic t
    WHERE t.tenant = p_tenant AND t.topic = p_topic;
END $$;

-- Replaces what a member says of itself if it is what is expected. `state`: 0 done, 1 it is something else, 2 the session
-- is no member.
CREATE FUNCTION presence_update(
    p_shard integer, p_tenant text, p_topic text, p_session text, p_expected text, p_data text
) RETURNS TABLE (state smallint, rev bigint, changed_at bigint) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    s presence_shard := presence_lock(p_shard);
    m presence_member;
    v_position bigint := 0;
BEGIN
    SELECT m1.* INTO m FROM presence_seat o
    JOIN presence_member m1 ON m1.tenant = o.tenant AND m1.topic = o.topic AND m1.id = o.member
    WHERE o.tenant = p_tenant AND o.topic = p_topic AND o.session = p_session;
    IF NOT FOUND THEN
        RETURN QUERY SELECT 2::smallint, 0::bigint, 0::bigint;
        RETURN;
    END IF;
    IF m.data IS DISTINCT FROM p_expected THEN
        RETURN QUERY SELECT 1::smallint, 0::bigint, 0::bigint;
        RETURN;
    END IF;
    IF m.data IS DISTINCT FROM p_data THEN
        UPDATE presence_member SET data = p_data WHERE tenant = p_tenant AND topic = p_topic AND id = m.id;
        v_position := presence_changed(p_tenant, p_topic, 'update', m.id, m.who, m.info, p_data, m.since);
    END IF;
    RETURN QUERY SELECT 0::smallint, t.rev, v_position FROM presence_topic t
    WHERE t.tenant = p_tenant AND t.topic = p_topic;
END $$;

-- Takes sessions out of topics of one shard: one session that a holder holds, all of a user in a topic, or some of all
-- that dead holders hold. Says how many, the revision of the topic (the only or last one), and where the last change is.
CREATE FUNCTION presence_unseat(
    p_shard integer, p_tenant text, p_topic text, p_session text, p_holder text, p_who text, p_limit integer
) RETURNS TABLE (seats bigint, rev bigint, changed_at bigint) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    s presence_shard := presence_lock(p_shard);
    v_floor bigint;
    v_gone bigint := 0;
    v_position bigint := 0;
    v_rev bigint;
    o record;
    m presence_member;
    t presence_topic;
BEGIN
    FOR o IN
        SELECT q.tenant, q.topic, q.session FROM presence_seat q
        WHERE p_session IS NOT NULL AND q.tenant = p_tenant AND q.topic = p_topic AND q.session = p_session
            AND q.holder = p_holder
        UNION ALL
        SELECT q.tenant, q.topic, q.session FROM presence_seat q
        WHERE p_who IS NOT NULL AND q.tenant = p_tenant AND q.who = p_who AND q.topic = p_topic
        UNION ALL
        (SELECT q.tenant, q.topic, q.session FROM presence_holder h
         JOIN presence_seat q ON q.holder = h.holder
         JOIN presence_topic r ON r.tenant = q.tenant AND r.topic = q.topic
         WHERE p_session IS NULL AND p_who IS NULL AND h.dead AND r.shard = p_shard LIMIT p_limit)
    LOOP
        WITH gone AS (
            DELETE FROM presence_seat q
            WHERE q.tenant = o.tenant AND q.topic = o.topic AND q.session = o.session
                AND (p_session IS NULL OR q.holder = p_holder)
                AND (p_session IS NOT NULL OR p_who IS NOT NULL
                     OR EXISTS (SELECT 1 FROM presence_holder h WHERE h.holder = q.holder AND h.dead))
            RETURNING q.member, q.who
        )
        UPDATE presence_member q SET seats = q.seats - 1 FROM gone
        WHERE q.tenant = o.tenant AND q.topic = o.topic AND q.id = gone.member RETURNING q.* INTO m;
        CONTINUE WHEN NOT FOUND;
        v_gone := v_gone + 1;
        UPDATE presence_shard SET seats = seats - 1 WHERE shard = p_shard;
        UPDATE presence_topic q SET seats = q.seats - 1, members = q.members - (m.seats = 0)::integer,
            users = q.users - (m.who IS NOT NULL AND NOT EXISTS (
                SELECT 1 FROM presence_seat x WHERE x.tenant = o.tenant AND x.who = m.who AND x.topic = o.topic))::integer
        WHERE q.tenant = o.tenant AND q.topic = o.topic;
        IF m.seats = 0 THEN
            DELETE FROM presence_member q WHERE q.tenant = o.tenant AND q.topic = o.topic AND q.id = m.id;
            v_position := presence_changed(o.tenant, o.topic, 'leave', m.id, m.who, m.info, m.data, m.since);
        END IF;
        SELECT q.* INTO t FROM presence_topic q WHERE q.tenant = o.tenant AND q.topic = o.topic;
        v_rev := t.rev;
        IF t.seats = 0 THEN
            -- A topic that comes back goes on above.
            DELETE FROM presence_topic q WHERE q.tenant = o.tenant AND q.topic = o.topic;
            UPDATE presence_shard SET floor = greatest(floor, t.rev) WHERE shard = p_shard;
        END IF;
    END LOOP;
    IF v_rev IS NULL THEN
        SELECT q.rev INTO v_rev FROM presence_topic q WHERE q.tenant = p_tenant AND q.topic = p_topic;
        v_rev := coalesce(v_rev, s.floor);
    END IF;
    RETURN QUERY SELECT v_gone, v_rev, v_position;
END $$;

CREATE FUNCTION presence_heartbeat(p_holder text, p_lease bigint) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    v_life presence_life := presence_now();
    v_until timestamptz := clock_timestamp() + p_lease * interval '1 microsecond';
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);
    UPDATE presence_holder SET until = v_until
    WHERE holder = p_holder AND until > clock_timestamp() AND life = v_life.life AND NOT dead;
    IF FOUND THEN
        RETURN true;
    END IF;
    -- One that is not known begins here; one that has ended stays so.
    INSERT INTO presence_holder (holder, until, life) VALUES (p_holder, v_until, v_life.life) ON CONFLICT DO NOTHING;
    RETURN false;
END $$;

-- A session has come to a holder, whoever held it before. Says which members it is.
CREATE FUNCTION presence_adopt(p_tenant text, p_session text, p_holder text) RETURNS SETOF presence_member
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);
    UPDATE presence_seat SET holder = p_holder WHERE tenant = p_tenant AND session = p_session AND holder <> p_holder;
    RETURN QUERY SELECT m.* FROM presence_seat q
    JOIN presence_member m ON m.tenant = q.tenant AND m.topic = q.topic AND m.id = q.member
    WHERE q.tenant = p_tenant AND q.session = p_session AND q.holder = p_holder ORDER BY m.topic;
END $$;

-- Says which shards have members of holders whose lease has ended.
CREATE FUNCTION presence_dead(p_holder text) RETURNS SETOF integer LANGUAGE sql AS $$
    UPDATE presence_holder SET dead = true WHERE until <= clock_timestamp() AND NOT dead AND holder <> p_holder;
    DELETE FROM presence_holder h
    WHERE h.dead AND NOT EXISTS (SELECT 1 FROM presence_seat q WHERE q.holder = h.holder);
    -- Somebody may have entered in that moment, whose transaction saw the row and could not be seen. Holders are few: from
    -- one to the next by the index.
    WITH RECURSIVE known AS (
        (SELECT holder FROM presence_seat ORDER BY holder LIMIT 1)
        UNION ALL
        SELECT (SELECT q.holder FROM presence_seat q WHERE q.holder > k.holder ORDER BY q.holder LIMIT 1)
        FROM known k WHERE k.holder IS NOT NULL
    )
    INSERT INTO presence_holder (holder, until, life, dead)
    SELECT k.holder, clock_timestamp(), '', true FROM known k
    WHERE k.holder <> p_holder AND NOT EXISTS (SELECT 1 FROM presence_holder h WHERE h.holder = k.holder)
    ON CONFLICT DO NOTHING;
    SELECT DISTINCT r.shard FROM presence_holder h
    JOIN presence_seat q ON q.holder = h.holder
    JOIN presence_topic r ON r.tenant = q.tenant AND r.topic = q.topic
    WHERE h.dead ORDER BY 1
$$;

CREATE FUNCTION presence_fed(p_shard integer, p_fence bigint, p_upto bigint) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    s presence_shard := presence_lock(p_shard);
    v_gone bigint;
BEGIN
    IF s.fence > p_fence THEN
        RETURN false;
    END IF;
    -- From where the last call came to: what a long transaction keeps from being cleared away is not gone through again.
    DELETE FROM presence_feed WHERE shard = p_shard AND position > s.fed AND position <= p_upto;
    GET DIAGNOSTICS v_gone = ROW_COUNT;
    UPDATE presence_shard
    SET fence = p_fence, fed = greatest(fed, least(p_upto, position)), waiting = greatest(waiting - v_gone, 0)
    WHERE shard = p_shard;
    RETURN true;
END $$;

REVOKE EXECUTE ON FUNCTION presence_now, presence_lock, presence_changed, presence_enter, presence_update, presence_unseat, presence_heartbeat, presence_adopt, presence_dead, presence_fed FROM PUBLIC;
