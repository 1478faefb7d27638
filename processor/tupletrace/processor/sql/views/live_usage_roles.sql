-- Usage roles of open traces; few enough that none is spared the whole of the counting.
CREATE OR REPLACE VIEW live_usage_roles AS
WITH open_spans AS MATERIALIZED (FROM live_spans),
open_lost_parents AS MATERIALIZED (FROM live_lost_parents)
FROM usage_roles_of('open_spans', 'open_traces', 'open_lost_parents');
