-- Leases and the progress of consumers.

-- Fences never repeat, also when a standby took over that lacked the latest: it would have to be behind by as much time
-- as it took to come up. Whoever draws one holds this row for a moment.
CREATE TABLE fence (one boolean PRIMARY KEY DEFAULT true CHECK (one), last bigint NOT NULL);
INSERT INTO fence (last) VALUES (0);

CREATE FUNCTION next_fence() RETURNS bigint LANGUAGE sql VOLATILE AS $$
    UPDATE fence SET last = greatest(last + 1, micros(clock_timestamp())) RETURNING last
$$;

CREATE TABLE lease (
    name text COLLATE "C" PRIMARY KEY,
    holder text NOT NULL,
    fence bigint NOT NULL,
    until timestamptz NOT NULL
);
CREATE INDEX lease_until ON lease (until);

-- A version is the server's clock, and greater than the one before: what is written after a crash, or by a standby that
-- takes over, must not have the version of what was lost, as it would if they were counted.
CREATE TABLE consumer (
    tenant text COLLATE "C" NOT NULL,
    consumer text COLLATE "C" NOT NULL,
    topic text COLLATE "C" NOT NULL,
    version bigint NOT NULL,
    progress jsonb NOT NULL,
    PRIMARY KEY (tenant, consumer, topic)
) WITH (fillfactor = 50);

-- Changes a record if it is the expected one: 0 and the new version, 1 if it is another, 2 if the tenant has as many as
-- it may.
CREATE FUNCTION swap_consumer(
    p_tenant text, p_consumer text, p_topic text, p_expected bigint, p_progress jsonb, p_most bigint, p_commit boolean
) RETURNS TABLE (state smallint, version bigint) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    v_version bigint := micros(clock_timestamp());
BEGIN
    IF NOT p_commit THEN
        PERFORM set_config('synchronous_commit', 'off', true);
    END IF;
    IF p_expected IS NOT NULL THEN
        IF p_progress IS NULL THEN
            DELETE FROM consumer c
            WHERE c.tenant = p_tenant AND c.consumer = p_consumer AND c.topic = p_topic AND c.version = p_expected;
        ELSE
            v_version := greatest(v_version, p_expected + 1);
            UPDATE consumer c SET version = v_version, progress = p_progress
            WHERE c.tenant = p_tenant AND c.consumer = p_consumer AND c.topic = p_topic AND c.version = p_expected;
        END IF;
        RETURN QUERY SELECT (CASE WHEN FOUND THEN 0 ELSE 1 END)::smallint, v_version;
        RETURN;
    END IF;
    -- Who makes a new one counts alone.
    PERFORM pg_advisory_xact_lock(hashtextextended(current_schema() || '/consumers/' || p_tenant, 0));
    IF EXISTS (SELECT 1 FROM consumer c WHERE c.tenant = p_tenant AND c.consumer = p_consumer AND c.topic = p_topic) THEN
        RETURN QUERY SELECT 1::smallint, v_version;
    ELSIF p_progress IS NULL THEN
        RETURN QUERY SELECT 0::smallint, v_version;
    ELSIF (SELECT count(*) FROM consumer c WHERE c.tenant = p_tenant) >= p_most THEN
        RETURN QUERY SELECT 2::smallint, v_version;
    ELSE
        INSERT INTO consumer (tenant, consumer, topic, version, progress)
        VALUES (p_tenant, p_consumer, p_topic, v_version, p_progress);
        RETURN QUERY SELECT 0::smallint, v_version;
    END IF;
END $$;

REVOKE EXECUTE ON FUNCTION next_fence, swap_consumer FROM PUBLIC;
