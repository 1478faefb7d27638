-- What does a wider retriever cost?
SELECT route, name AS retriever, version, count(*) AS traces, avg(input_tokens) AS input_tokens,
    avg(cost_usd) AS usd_per_trace
FROM traces JOIN tuples USING (tuple_id) WHERE layer = 'retriever' GROUP BY ALL ORDER BY route, usd_per_trace
