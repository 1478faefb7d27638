-- What two tuples differ in, by layer: `changed` (another version of the same name, or another name where a layer
-- has one member on either side), `added`, `removed`, `same`.
CREATE OR REPLACE MACRO tuple_diff(before_id, after_id) AS TABLE
-- Each argument once: it may be a query.
WITH sides AS MATERIALIZED (SELECT before_id AS before_tuple_id, after_id AS after_tuple_id),
members AS MATERIALIZED (
    SELECT
        tuples.tuple_id,
        tuples.layer,
        tuples.name,
        tuples.version,
        min(tuples.provenance) AS provenance,
        count(*) OVER (PARTITION BY tuples.tuple_id, tuples.layer) AS members
    FROM tuples
    JOIN sides ON tuples.tuple_id IN (sides.before_tuple_id, sides.after_tuple_id)
    GROUP BY tuples.tuple_id, tuples.layer, tuples.name, tuples.version
)
SELECT
    coalesce(b.layer, a.layer) AS layer,
    CASE
        WHEN b.layer IS NULL THEN 'added'
        WHEN a.layer IS NULL THEN 'removed'
        WHEN b.name IS NOT DISTINCT FROM a.name AND b.version IS NOT DISTINCT FROM a.version THEN 'same'
        ELSE 'changed'
    END AS change,
    b.name AS name_before,
    b.version AS version_before,
    b.provenance AS provenance_before,
    a.name AS name_after,
    a.version AS version_after,
    a.provenance AS provenance_after
FROM (SELECT * FROM members WHERE tuple_id = (SELECT before_tuple_id FROM sides)) AS b
FULL JOIN (SELECT * FROM members WHERE tuple_id = (SELECT after_tuple_id FROM sides)) AS a
    ON a.layer = b.layer
    AND (a.name IS NOT DISTINCT FROM b.name OR (a.members = 1 AND b.members = 1))
ORDER BY layer, name_before, name_after;
