-- Which tuples answered, and what is each made of?
WITH made AS (
    SELECT tuple_id, string_agg(layer || ' ' || name || ' ' || version, ', ' ORDER BY layer, name) AS made_of
    FROM tuples GROUP BY tuple_id
)
SELECT route, tuple_id, count(*) AS traces, made_of
FROM traces JOIN made USING (tuple_id) GROUP BY ALL ORDER BY route, traces DESC, tuple_id
