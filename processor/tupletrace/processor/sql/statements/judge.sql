-- Evaluations in log records (`judging_records`) and in spans (`judging_spans`): in their events, in their own
-- attributes, as OpenInference's annotations, and as the results of a case of pydantic-evals. One row an id: what
-- came last.
CREATE OR REPLACE TEMPORARY TABLE judged AS
WITH in_events AS (
    SELECT trace_id, span_id, conversation_id, journal_seq, unnest(events) AS event FROM judging_spans
),
in_attributes AS (
    SELECT
        trace_id,
        span_id,
        conversation_id,
        start_unix_nano + duration_ns AS time_unix_nano,
        journal_seq,
        entry.value,
        regexp_extract(
            entry.key,
            '^(trace\.|session\.)?(annotations|evaluations)\.(\d+)\.(?:annotation|evaluation)\.(\w+)$',
            ['target', 'form', 'place', 'field']
        ) AS key
    FROM (SELECT *, unnest(map_entries(attributes)) AS entry FROM judging_spans) AS entries
),
annotations AS (
    SELECT
        trace_id,
        span_id,
        conversation_id,
        time_unix_nano,
        journal_seq,
        key.target AS target,
        max(CASE WHEN key.field = 'name' THEN value END) AS name,
        max(CASE WHEN key.field = 'score' THEN value END) AS score,
        max(CASE WHEN key.field = 'label' THEN value END) AS label,
        max(CASE WHEN key.field = 'explanation' THEN value END) AS explanation,
        max(CASE WHEN key.field = 'annotator_kind' THEN value END) AS kind,
        max(CASE WHEN key.field = 'identifier' THEN value END) AS identifier,
        max(CASE WHEN key.field = 'metadata' AND json_valid(value) THEN value END) AS metadata
    FROM in_attributes
    WHERE key.place <> ''
    GROUP BY trace_id, span_id, conversation_id, time_unix_nano, journal_seq, key.target, key.form, key.place
),
results AS (
    SELECT
        trace_id,
        span_id,
        start_unix_nano + duration_ns AS time_unix_nano,
        journal_seq,
        form,
        unnest(CASE WHEN json_valid(attributes[form]) THEN json_extract(attributes[form], '$.*') END) AS result
    FROM (SELECT *, unnest(['assertions', 'scores', 'labels']) AS form FROM judging_spans) AS cases
    WHERE scope_name = 'pydantic-evals'
),
said AS (
    SELECT trace_id, span_id, time_unix_nano, journal_seq, unnest(evaluation_said(attributes)) FROM judging_records
    UNION ALL BY NAME
    SELECT trace_id, span_id, event.time_unix_nano, journal_seq, unnest(evaluation_said(event.attributes))
    FROM in_events
    WHERE event.name = 'gen_ai.evaluation.result'
    UNION ALL BY NAME
    -- The span of a judge that says no more of itself: its model is known.
    SELECT
        * EXCLUDE (judge_model) REPLACE (
            CAST(NULL AS VARCHAR) AS conversation_id,
            CAST(NULL AS VARCHAR) AS response_id,
            coalesce(evaluator_version, judge_model) AS evaluator_version
        )
    FROM (
        SELECT
            trace_id,
            coalesce(attributes['gen_ai.evaluation.target_span_id'], span_id) AS span_id,
            CASE WHEN attributes['gen_ai.evaluation.target_span_id'] <> span_id THEN request_model END AS judge_model,
            start_unix_nano + duration_ns AS time_unix_nano,
            journal_seq,
            unnest(evaluation_said(attributes))
        FROM judging_spans
        WHERE attributes['gen_ai.evaluation.name'] IS NOT NULL
    ) AS itself
    UNION ALL BY NAME
    SELECT
        CASE WHEN identifier IS NOT NULL THEN left(sha256(concat_ws(chr(9), target, trace_id, span_id, name, identifier)), 32) END
            AS evaluation_id,
        CASE WHEN target <> 'session.' THEN trace_id END AS trace_id,
        CASE WHEN target = '' THEN span_id END AS span_id,
        CASE WHEN target = 'session.' THEN conversation_id END AS conversation_id,
        time_unix_nano,
        journal_seq,
        name,
        coalesce(metadata ->> '$.evaluator_name', metadata ->> '$.evaluator') AS evaluator_name,
        coalesce(
            metadata ->> '$.evaluator_version',
            metadata ->> '$.version',
            nullif(concat_ws('@', coalesce(metadata ->> '$.judge_model', metadata ->> '$.model'), metadata ->> '$.rubric_hash'), '')
        ) AS evaluator_version,
        kind AS source,
        finite_number(score) AS score_value,
        label AS score_label,
        explanation
    FROM annotations
    UNION ALL BY NAME
    SELECT
        trace_id,
        span_id,
        time_unix_nano,
        journal_seq,
        result ->> '$.name' AS name,
        result ->> '$.source.name' AS evaluator_name,
        result ->> '$.evaluator_version' AS evaluator_version,
        CASE WHEN evaluator_name = 'LLMJudge' THEN 'llm' ELSE 'code' END AS source,
        CASE WHEN form = 'scores' THEN finite_number(result ->> '$.value') END AS score_value,
        CASE WHEN form = 'labels' THEN result ->> '$.value' END AS score_label,
        CASE WHEN form = 'assertions' THEN TRY_CAST(result ->> '$.value' AS BOOLEAN) END AS said_passed,
        result ->> '$.reason' AS explanation
    FROM results
)
SELECT
    coalesce(evaluation_id, evaluation_id(said)) AS evaluation_id,
    * EXCLUDE (evaluation_id, time_unix_nano, source),
    coalesce(
        lower(source),
        CASE WHEN regexp_matches(lower(name), 'feedback|thumb|user[_ -]?(rating|score)') THEN 'human' END
    ) AS source,
    make_timestamptz(time_unix_nano // 1000) AS time
FROM said
WHERE name IS NOT NULL
QUALIFY row_number() OVER (
    PARTITION BY coalesce(evaluation_id, evaluation_id(said)) ORDER BY journal_seq DESC, time_unix_nano DESC
) = 1;

DELETE FROM evaluation_results WHERE evaluation_id IN (SELECT evaluation_id FROM judged);

INSERT INTO evaluation_results BY NAME FROM judged;

-- Spans that are named without their trace: by a response, which is known better than what was current where it
-- was judged, or by their id alone.
CREATE OR REPLACE TEMPORARY TABLE judged_spans AS
WITH nameless AS (
    SELECT evaluation_id, response_id, span_id, evaluation_id IN (SELECT evaluation_id FROM judged) AS is_new
    FROM evaluation_results
    WHERE response_id IS NOT NULL OR (trace_id IS NULL AND span_id IS NOT NULL)
),
candidates AS (
    SELECT TRUE AS is_new, trace_id, span_id, response_id, operation_name, start_unix_nano
    FROM spans
    WHERE day >= (
        -- What has a trace is judged while it is young.
        SELECT CASE WHEN bool_or(trace_id IS NULL) THEN DATE '1970-01-01' ELSE CAST(min(time) AS DATE) - 31 END FROM judged
    )
    UNION ALL
    SELECT FALSE, trace_id, span_id, response_id, operation_name, start_unix_nano
    FROM batch
)
SELECT
    evaluation_id,
    arg_max({'trace_id': trace_id, 'span_id': span_id}, start_unix_nano) AS place
FROM (
    SELECT nameless.evaluation_id, candidates.*
    FROM nameless
    JOIN candidates ON candidates.response_id = nameless.response_id AND candidates.is_new = nameless.is_new
    WHERE candidates.operation_name IN ('chat', 'text_completion', 'generate_content')
    UNION ALL
    SELECT nameless.evaluation_id, candidates.*
    FROM nameless
    JOIN candidates ON candidates.span_id = nameless.span_id AND candidates.is_new = nameless.is_new
    WHERE nameless.response_id IS NULL
) AS found
GROUP BY evaluation_id;

UPDATE evaluation_results
SET trace_id = known.place.trace_id, span_id = known.place.span_id
FROM judged_spans AS known
WHERE evaluation_results.evaluation_id = known.evaluation_id;

-- Settled traces in which another evaluator took part.
INSERT INTO open_traces
SELECT trace_id, first_seq
FROM settled_traces
WHERE trace_id IN (
    SELECT results.trace_id
    FROM evaluation_results AS results
    WHERE results.source IS DISTINCT FROM 'human'
      AND results.evaluation_id IN (SELECT evaluation_id FROM judged UNION ALL SELECT evaluation_id FROM judged_spans)
);
