-- Stored spans (registered as `records`) as one OTLP request; `kept`: their columns, where those would be lost.
WITH scopes AS (
    SELECT
        resource_attributes,
        resource_schema_url,
        scope_name,
        scope_version,
        scope_attributes,
        schema_url,
        list({
            'trace_id': unhex(trace_id),
            'span_id': unhex(span_id),
            'parent_span_id': unhex(parent_span_id),
            'trace_state': encode(trace_state),
            'flags': CAST(flags AS UINTEGER),
            'name': encode(name),
            'kind': coalesce(
                list_position(['UNSPECIFIED', 'INTERNAL', 'SERVER', 'CLIENT', 'PRODUCER', 'CONSUMER'], kind) - 1,
                TRY_CAST(kind AS INTEGER)
            ),
            'start_time_unix_nano': CAST(start_unix_nano AS UBIGINT),
            'end_time_unix_nano': CAST(start_unix_nano + duration_ns AS UBIGINT),
            'attributes': list_concat(
                otlp_attributes(attributes),
                CASE
                    WHEN kept IS NOT NULL
                        THEN [{'key': encode('tupletrace.kept'), 'value': {'string_value': encode(kept)}}]
                END
            ),
            'dropped_attributes_count': CAST(dropped_attributes_count AS UINTEGER),
            'events': list_transform(
                events,
                lambda event: {
                    'time_unix_nano': CAST(event.time_unix_nano AS UBIGINT),
                    'name': encode(event.name),
                    'attributes': otlp_attributes(event.attributes)
                }
            ),
            'dropped_events_count': CAST(dropped_events_count AS UINTEGER),
            'links': list_transform(
                links,
                lambda link: {
                    'trace_id': unhex(link.trace_id),
                    'span_id': unhex(link.span_id),
                    'attributes': otlp_attributes(link.attributes)
                }
            ),
            'dropped_links_count': CAST(dropped_links_count AS UINTEGER),
            'status': {
                'message': encode(status_message),
                'code': coalesce(list_position(['UNSET', 'OK', 'ERROR'], status_code) - 1, TRY_CAST(status_code AS INTEGER))
            }
        }) AS spans
    FROM records
    GROUP BY ALL
)
SELECT
    list({
        'resource': {'attributes': otlp_attributes(resource_attributes)},
        'scope_spans': [{
            'scope': CASE
                WHEN scope_name IS NOT NULL
                    THEN {
                        'name': encode(scope_name),
                        'version': encode(scope_version),
                        'attributes': otlp_attributes(scope_attributes)
                    }
            END,
            'spans': spans,
            'schema_url': encode(schema_url)
        }],
        'schema_url': encode(resource_schema_url)
    }) AS resource_spans
FROM scopes
