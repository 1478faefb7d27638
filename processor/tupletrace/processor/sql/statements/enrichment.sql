-- What was found out about the spans of the requests $first to $last, for whoever gets them next.
SELECT
    s.trace_id,
    s.span_id,
    t.tuple_id,
    t.route,
    c.cost_usd,
    c.cost_status,
    c.prompt_name,
    c.prompt_version,
    c.prompt_provenance,
    c.retriever_version,
    c.tools_version
FROM spans AS s
LEFT JOIN traces AS t ON t.trace_id = s.trace_id
LEFT JOIN llm_calls AS c ON c.trace_id = s.trace_id AND c.span_id = s.span_id
WHERE s.journal_seq BETWEEN $first AND $last;
