-- What the attributes of a `gen_ai.evaluation.result` say, as columns of `evaluation_results`.
CREATE OR REPLACE MACRO evaluation_said(attributes) AS {
    'evaluation_id': attributes['tupletrace.evaluation.id'],
    'conversation_id': attributes['gen_ai.conversation.id'],
    'response_id': attributes['gen_ai.response.id'],
    'name': attributes['gen_ai.evaluation.name'],
    'evaluator_name': attributes['tupletrace.evaluator.name'],
    'evaluator_version': attributes['tupletrace.evaluator.version'],
    'source': attributes['tupletrace.evaluator.kind'],
    'score_value': finite_number(attributes['gen_ai.evaluation.score.value']),
    'score_label': attributes['gen_ai.evaluation.score.label'],
    'said_passed': TRY_CAST(attributes['tupletrace.evaluation.passed'] AS BOOLEAN),
    'explanation': attributes['gen_ai.evaluation.explanation'],
    'error_type': attributes['error.type']
};
