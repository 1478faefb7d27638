-- Sets of layers that took part in traces (`layers_id` of settled_traces), each set once: few serve many.
CREATE TABLE IF NOT EXISTS settled_layers (
    layers_id UBIGINT,
    layer VARCHAR,
    name VARCHAR,
    version VARCHAR,
    provenance VARCHAR,
    reason VARCHAR
);
