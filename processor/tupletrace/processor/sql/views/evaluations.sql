-- Evaluations, each once: of a span, a trace (no span) or a conversation (no trace). `source` is human, llm or code.
-- `passed`: as it was said, else as its label or its score says by `settings`; NULL where neither does. `kind`: judge,
-- grounding or defect (more is worse), whose scores are 0..1, feedback, and other. `score`: also of a yes or no.
CREATE OR REPLACE VIEW evaluations AS
WITH results AS (
    SELECT
        *,
        -- A yes or no is a score of one or none.
        coalesce(
            score_value, CASE WHEN lower(score_label) IN ('yes', 'true') THEN 1.0 WHEN lower(score_label) IN ('no', 'false') THEN 0.0 END
        ) AS score
    FROM evaluation_results
),
-- Of each name: the least and the most of its scores that may pass.
marks AS (
    SELECT
        names.name,
        CASE
            WHEN names.own_least IS NOT NULL OR names.own_most IS NOT NULL OR NOT names.is_share THEN 'other'
            WHEN names.is_defect THEN 'defect'
            WHEN names.is_grounding THEN 'grounding'
            ELSE 'judge'
        END AS kind,
        CASE
            WHEN names.own_least IS NOT NULL OR names.own_most IS NOT NULL THEN names.own_least
            WHEN names.is_share AND NOT names.is_defect
                THEN setting(CASE WHEN names.is_grounding THEN 'grounding_score' ELSE 'judge_score' END)
        END AS least,
        CASE
            WHEN names.own_least IS NOT NULL OR names.own_most IS NOT NULL THEN names.own_most
            WHEN names.is_share AND names.is_defect THEN setting('defect_score')
        END AS most
    FROM (
        SELECT
            results.name,
            min(results.score) >= 0 AND max(results.score) <= 1 AS is_share,
            regexp_matches(lower(results.name), 'ground|faithful') AS is_grounding,
            regexp_matches(
                lower(results.name), 'toxic|hallucinat|harm|bias|jailbreak|injection|leak|profan|violat|unsafe'
            ) AS is_defect,
            max(CASE WHEN own.key = 'judge_score:' || results.name THEN own.value END) AS own_least,
            max(CASE WHEN own.key = 'defect_score:' || results.name THEN own.value END) AS own_most
        FROM results
        LEFT JOIN own_settings AS own
            ON own.key IN ('judge_score:' || results.name, 'defect_score:' || results.name)
        GROUP BY results.name
    ) AS names
)
SELECT
    results.trace_id,
    results.span_id,
    results.name,
    results.evaluator_name,
    results.evaluator_version,
    results.score_value,
    results.score_label,
    coalesce(
        results.said_passed,
        verdict(results.score_label),
        CASE
            WHEN results.source = 'human' AND lower(results.score_label) IN ('up', 'positive') THEN TRUE
            WHEN results.source = 'human' AND lower(results.score_label) IN ('down', 'negative') THEN FALSE
            WHEN marks.least IS NOT NULL THEN results.score >= marks.least
            WHEN marks.most IS NOT NULL THEN results.score <= marks.most
            -- Thumbs: one up, none or minus one down.
            WHEN results.source = 'human' AND results.score IN (-1, 0, 1) THEN results.score > 0
        END
    ) AS passed,
    results.explanation,
    results.time,
    results.evaluation_id,
    results.conversation_id,
    results.source,
    results.error_type,
    CASE WHEN results.source = 'human' THEN 'feedback' ELSE marks.kind END AS kind,
    results.score
FROM results
LEFT JOIN marks ON marks.name IS NOT DISTINCT FROM results.name;
