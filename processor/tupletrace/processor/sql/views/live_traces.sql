-- One row an open trace.
CREATE OR REPLACE VIEW live_traces AS
WITH open_spans AS MATERIALIZED (FROM live_spans),
open_layers AS MATERIALIZED (FROM live_layers)
FROM traces_with('open_spans', 'open_layers');
