-- The members of every tuple that a settled trace had.
CREATE TABLE IF NOT EXISTS settled_tuples (
    tuple_id VARCHAR,
    layer VARCHAR,
    name VARCHAR,
    version VARCHAR,
    provenance VARCHAR
);
