-- What was committed since a look whose snapshot had $1 as its next transaction and $2 open, and the snapshot of this look.
-- Written once and read, and the topic of each looked up, or the planner might begin with topics, while it does not know
-- how many there are, and go through all of them, or all that is kept of each.
WITH logged AS MATERIALIZED (
    SELECT * FROM log WHERE xid >= $1::text::xid8 OR xid = ANY ($2::text[]::xid8[])
), passed AS MATERIALIZED (
    SELECT * FROM passing WHERE xid >= $1::text::xid8 OR xid = ANY ($2::text[]::xid8[])
), new AS (
    SELECT t.tenant, t.topic, t.epoch, e.off, coalesce(e.prev, e.off - 1) AS prev, e.time,
           e.id, e.kind, e.data, e.occurred_at, e.name, e.who, e.source, e.key, e.schema,
           e.headers::text AS headers
    FROM logged e JOIN LATERAL (SELECT * FROM topic WHERE life = e.life LIMIT 1) t ON true
    UNION ALL
    SELECT e.tenant, e.topic, e.epoch, e.off, e.off - 1 AS prev, e.time,
           e.id, e.kind, e.data, e.occurred_at, e.name, e.who, e.source, e.key, e.schema,
           e.headers::text AS headers
    FROM passed e JOIN LATERAL (
        SELECT FROM passing_topic t WHERE t.tenant = e.tenant AND t.topic = e.topic AND t.epoch = e.epoch LIMIT 1
    ) t ON true
)
SELECT s.snap, n.* FROM (SELECT pg_current_snapshot()::text AS snap) s LEFT JOIN new n ON true
ORDER BY n.tenant, n.topic, n.off
