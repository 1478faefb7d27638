-- Stored evaluations (registered as `records`) as one OTLP request; `evaluation_said` reads them.
SELECT
    [{
        'scope_logs': [{
            'log_records': list({
                'time_unix_nano': CAST(epoch_us(time) * 1000 AS UBIGINT),
                'trace_id': unhex(trace_id),
                'span_id': unhex(span_id),
                'event_name': encode('gen_ai.evaluation.result'),
                'attributes': otlp_attributes(
                    map_from_entries(
                        list_filter(
                            [
                                {'key': 'tupletrace.evaluation.id', 'value': evaluation_id},
                                {'key': 'gen_ai.conversation.id', 'value': conversation_id},
                                {'key': 'gen_ai.response.id', 'value': response_id},
                                {'key': 'gen_ai.evaluation.name', 'value': name},
                                {'key': 'tupletrace.evaluator.name', 'value': evaluator_name},
                                {'key': 'tupletrace.evaluator.version', 'value': evaluator_version},
                                {'key': 'tupletrace.evaluator.kind', 'value': source},
                                {'key': 'gen_ai.evaluation.score.value', 'value': CAST(score_value AS VARCHAR)},
                                {'key': 'gen_ai.evaluation.score.label', 'value': score_label},
                                {'key': 'tupletrace.evaluation.passed', 'value': CAST(said_passed AS VARCHAR)},
                                {'key': 'gen_ai.evaluation.explanation', 'value': explanation},
                                {'key': 'error.type', 'value': error_type}
                            ],
                            lambda said: said.value IS NOT NULL
                        )
                    )
                )
            })
        }]
    }] AS resource_logs
FROM records
