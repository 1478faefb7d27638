-- Spans of `traces` (a relation with trace_id and first_seq), without what is long: what rollups are made of.
CREATE OR REPLACE MACRO spans_of(traces) AS TABLE
SELECT
    * EXCLUDE (
        input_messages, output_messages, system_instructions, tool_definitions, prompt_template, status_message,
        trace_state, flags, dropped_attributes_count, dropped_events_count, dropped_links_count, schema_url,
        resource_schema_url, scope_attributes, conflicts, attributes, resource_attributes, events, links
    )
FROM spans
WHERE trace_id IN (SELECT trace_id FROM query_table(traces))
  AND journal_seq >= (SELECT min(first_seq) FROM query_table(traces));
