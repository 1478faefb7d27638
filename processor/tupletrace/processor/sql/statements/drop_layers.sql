-- Sets of layers that no trace has any more.
DELETE FROM settled_layers
WHERE NOT EXISTS (SELECT 1 FROM settled_traces WHERE settled_traces.layers_id = settled_layers.layers_id);
