-- One row an open trace.
CREATE OR REPLACE VIEW live_traces AS
FROM traces_with('live_layers');
