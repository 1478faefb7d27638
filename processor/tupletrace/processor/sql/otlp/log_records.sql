-- Stored log records (registered as `records`) as one OTLP request.
SELECT
    [{
        'scope_logs': [{
            'log_records': list({
                'time_unix_nano': CAST(time_unix_nano AS UBIGINT),
                'trace_id': unhex(trace_id),
                'span_id': unhex(span_id),
                'event_name': encode(name),
                'attributes': otlp_attributes(attributes)
            })
        }]
    }] AS resource_logs
FROM records
