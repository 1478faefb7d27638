-- What the spans of a trace, or who sent them, say under any attribute: for conditions and groups of traces.
CREATE OR REPLACE MACRO trace_attribute(id, key) AS (
    SELECT max(coalesce(spans.attributes[key], spans.resource_attributes[key])) FROM spans WHERE spans.trace_id = id
);
