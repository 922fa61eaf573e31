-- As all.sql, but only what applications published themselves.
WITH logged AS MATERIALIZED (
    SELECT * FROM log WHERE (xid >= $1::text::xid8 OR xid = ANY ($2::text[]::xid8[])) AND outside
), new AS (
    SELECT t.tenant, t.topic, t.epoch, e.off, coalesce(e.prev, e.off - 1) AS prev, e.time,
           e.id, e.kind, e.data, e.occurred_at, e.name, e.who, e.source, e.key, e.schema,
           e.headers::text AS headers
    FROM logged e JOIN LATERAL (SELECT * FROM topic WHERE life = e.life LIMIT 1) t ON true
)
SELECT s.snap, n.* FROM (SELECT pg_current_snapshot()::text AS snap) s LEFT JOIN new n ON true
ORDER BY n.tenant, n.topic, n.off
