-- Every budget and what was spent of it in its running day, week (from Monday) or month (UTC): who is over comes first.
-- A budget of `*` has a row for each who. Calls without a price are in no sum: `unpriced_calls`. `moment`: as if it were then.
CREATE OR REPLACE MACRO budget_status(moment := NULL) AS TABLE
WITH running AS MATERIALIZED (
    SELECT
        budgets.scope,
        budgets.who,
        budgets.per,
        budgets.usd,
        date_trunc(budgets.per, clock.clock) AS since,
        clock.clock
    FROM budgets
    CROSS JOIN (
        SELECT coalesce(CAST(moment AS TIMESTAMP WITH TIME ZONE), now()) AT TIME ZONE 'UTC' AS clock
    ) AS clock
),
calls AS (
    SELECT
        calls.start_time AT TIME ZONE 'UTC' AS start,
        calls.cost_usd,
        traces.route,
        traces.tuple_id,
        calls.service_name,
        coalesce(calls.response_model, calls.request_model) AS model,
        calls.provider_name,
        calls.prompt_name,
        calls.agent_name,
        calls.user_id,
        calls.conversation_id
    FROM llm_calls AS calls
    JOIN traces ON traces.trace_id = calls.trace_id
    WHERE calls.start_time >= (SELECT min(since) AT TIME ZONE 'UTC' FROM running)
),
booked AS (
    SELECT
        running.scope,
        running.who AS budget,
        running.per,
        calls.cost_usd,
        CASE running.scope
            WHEN 'total' THEN running.who
            WHEN 'route' THEN calls.route
            WHEN 'service' THEN calls.service_name
            WHEN 'model' THEN calls.model
            WHEN 'provider' THEN calls.provider_name
            WHEN 'prompt' THEN calls.prompt_name
            WHEN 'tuple' THEN calls.tuple_id
            WHEN 'agent' THEN calls.agent_name
            WHEN 'user' THEN calls.user_id
            WHEN 'conversation' THEN calls.conversation_id
        END AS who
    FROM running
    JOIN calls ON calls.start >= running.since AND calls.start < running.clock
),
spent AS (
    SELECT
        scope,
        budget,
        per,
        who,
        sum(cost_usd) AS usd,
        sum(CASE WHEN cost_usd IS NULL THEN 1 ELSE 0 END) AS unpriced_calls
    FROM booked
    WHERE who IS NOT NULL AND budget IN (who, '*')
    GROUP BY scope, budget, per, who
)
SELECT
    running.scope,
    coalesce(spent.who, running.who) AS who,
    running.per,
    running.since AT TIME ZONE 'UTC' AS since,
    running.usd AS budget_usd,
    CAST(coalesce(spent.usd, 0) AS DECIMAL(24, 12)) AS spent_usd,
    CAST(coalesce(spent.usd, 0) AS DOUBLE) / nullif(CAST(running.usd AS DOUBLE), 0) AS share,
    coalesce(spent.usd, 0) > running.usd AS over,
    CAST(coalesce(spent.unpriced_calls, 0) AS BIGINT) AS unpriced_calls
FROM running
LEFT JOIN spent ON spent.scope = running.scope AND spent.budget = running.who AND spent.per = running.per
ORDER BY over DESC, share DESC NULLS LAST, running.scope, who, running.per;
