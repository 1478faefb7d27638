-- `tupletrace costs --by tag`: USD per tag; a call with several counts under each, the dearest first.
SELECT *
FROM (
    SELECT
        tag,
        unnest(spending(calls))
    FROM (SELECT *, unnest(tags) AS tag FROM llm_calls) AS calls
    GROUP BY tag
) AS spent
ORDER BY cost_usd DESC NULLS LAST, tag;
