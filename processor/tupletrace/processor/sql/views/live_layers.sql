-- Layers of open traces.
CREATE OR REPLACE VIEW live_layers AS
FROM layers_of('live_llm_calls');
