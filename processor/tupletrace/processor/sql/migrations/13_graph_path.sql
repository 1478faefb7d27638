-- Where in nested graphs a span stood. What other vendors say of it is read when the database is made again.
ALTER TABLE spans ADD COLUMN graph_path VARCHAR;
UPDATE spans SET graph_path = attributes['tupletrace.graph.path'] WHERE graph_node IS NOT NULL;
