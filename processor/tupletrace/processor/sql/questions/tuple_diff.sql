-- What two tuples differ in, by layer: `changed` (another version of the same name, or another name where a layer
-- has one member on either side), `added`, `removed`, `same`.
CREATE OR REPLACE MACRO tuple_diff(before_id, after_id) AS TABLE
WITH members AS (
    SELECT
        tuple_id,
        layer,
        name,
        version,
        min(provenance) AS provenance,
        count(*) OVER (PARTITION BY tuple_id, layer) AS members
    FROM tuples
    WHERE tuple_id IN (before_id, after_id)
    GROUP BY tuple_id, layer, name, version
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
FROM (FROM members WHERE tuple_id = before_id) AS b
FULL JOIN (FROM members WHERE tuple_id = after_id) AS a
    ON a.layer = b.layer
    AND (a.name IS NOT DISTINCT FROM b.name OR (a.members = 1 AND b.members = 1))
ORDER BY layer, name_before, name_after;
