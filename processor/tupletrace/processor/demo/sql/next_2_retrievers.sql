-- What does a wider retriever cost?
SELECT traces.route, retriever_version, attributes['gen_ai.retrieval.top_k'] AS top_k, count(*) AS traces,
    round(avg(traces.input_tokens), 1) AS input_tokens, CAST(avg(cost_usd) AS DECIMAL(12, 8)) AS usd_per_trace
FROM spans JOIN traces USING (trace_id) WHERE operation_name = 'retrieval' GROUP BY ALL ORDER BY ALL
