-- The spans of one trace, in order of time. Faster than a condition on `spans`: where they are stored is known.
CREATE OR REPLACE MACRO trace_spans(of_trace) AS TABLE
SELECT spans.*
FROM settled_traces AS t
JOIN spans ON spans.journal_seq BETWEEN t.first_seq AND t.settled_seq
WHERE t.trace_bits = trace_bits(of_trace) AND t.trace_id = of_trace AND spans.trace_id = of_trace
ORDER BY spans.start_unix_nano, spans.span_id;
