-- The last 64 bits of a trace's id, which are random in every kind of id; NULL of what is none.
CREATE OR REPLACE MACRO trace_bits(trace_id) AS TRY_CAST('0x' || right(trace_id, 16) AS UBIGINT);
