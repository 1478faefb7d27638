-- Layers of open traces.
CREATE OR REPLACE VIEW live_layers AS
WITH open_spans AS MATERIALIZED (FROM live_spans),
open_calls AS MATERIALIZED (FROM live_llm_calls)
FROM layers_of('open_spans', 'open_calls');
