-- `spans_of` open traces.
CREATE OR REPLACE VIEW live_spans AS
FROM spans_of('open_traces');
