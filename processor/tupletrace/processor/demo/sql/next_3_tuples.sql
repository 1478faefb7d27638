-- Which tuples answered, and what is each made of?
SELECT tuple_id, count(DISTINCT trace_id) AS traces, any_value(route) AS route,
    string_agg(DISTINCT layer || ' ' || name || '@' || version, ', ') AS made_of
FROM traces JOIN tuples USING (tuple_id) GROUP BY tuple_id ORDER BY traces DESC
