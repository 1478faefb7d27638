-- USD per tag, the dearest first; a call with several counts under each, NULL: calls without any.
CREATE OR REPLACE VIEW costs_by_tag AS
SELECT *
FROM (
    SELECT
        tag,
        unnest(spending(calls))
    FROM (SELECT *, unnest(coalesce(tags, [NULL])) AS tag FROM llm_calls) AS calls
    GROUP BY tag
) AS spent
ORDER BY cost_usd DESC NULLS LAST, estimated_cost_usd DESC NULLS LAST, tag;
