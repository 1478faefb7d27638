-- A map of texts as OTLP has attributes.
CREATE OR REPLACE TEMPORARY MACRO otlp_attributes(named) AS list_transform(
    map_entries(named),
    lambda entry: {'key': encode(entry.key), 'value': {'string_value': encode(entry.value)}}
);
