-- Traces whose last span began before $before, or all of which was received before request $received. What began
-- before $since and had come with request $looked_at was asked about already. A beginning before $credible is one
-- that nobody believes: then only the receipt counts. Times are microseconds.
CREATE OR REPLACE TEMPORARY TABLE due AS
WITH candidates AS (
    SELECT DISTINCT trace_id
    FROM spans
    WHERE (
        (start_time < make_timestamptz($before) AND start_time >= make_timestamptz($credible))
        OR journal_seq < $received
    )
        AND (
            start_time >= make_timestamptz($since)
            OR start_time < make_timestamptz($credible)
            OR journal_seq > $looked_at
        )
    UNION
    SELECT trace_id
    FROM log_records
    WHERE time_unix_nano < $before * 1000
        AND (time_unix_nano >= $credible * 1000 OR journal_seq < $received)
        AND journal_seq > $looked_at
    UNION
    SELECT trace_id
    FROM evaluation_results
    WHERE time < make_timestamptz($before) AND journal_seq > $looked_at
)
SELECT candidates.trace_id
FROM candidates
LEFT JOIN spans ON spans.trace_id = candidates.trace_id
WHERE candidates.trace_id IS NOT NULL
GROUP BY candidates.trace_id
HAVING NOT coalesce(
    bool_or(
        (spans.start_time >= make_timestamptz($before) OR spans.start_time < make_timestamptz($credible))
        AND spans.journal_seq >= $received
    ),
    FALSE
);
