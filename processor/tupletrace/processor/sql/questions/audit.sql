-- Every tuple that served a route from one time until before another: one row a layer member, with the tuple's
-- share (0..1) of the route's traces, when it served first and last, and the texts where they are kept (ten at most, by
-- first use, `served_texts` with their times): a label that was used for two texts has both.
CREATE OR REPLACE MACRO audit(since, until, of_route := NULL) AS TABLE
WITH served AS MATERIALIZED (
    SELECT trace_id, route, tuple_id, start_time, layers_id, first_seq, settled_seq
    FROM settled_traces
    WHERE tuple_id IS NOT NULL
      AND within(start_time, since, until)
      AND (of_route IS NULL OR route = of_route)
),
shares AS (
    SELECT
        route,
        tuple_id,
        count(*) AS traces,
        count(*) / sum(count(*)) OVER (PARTITION BY route) AS share,
        min(start_time) AS first_seen,
        max(start_time) AS last_seen,
        min(trace_id) AS example_trace_id
    FROM served
    GROUP BY route, tuple_id
),
members AS (
    SELECT
        served.route,
        served.tuple_id,
        layers.layer,
        layers.name,
        layers.version,
        layers.provenance,
        max(layers.reason) AS reason
    FROM served
    JOIN settled_layers AS layers ON layers.layers_id = served.layers_id
    GROUP BY served.route, served.tuple_id, layers.layer, layers.name, layers.version, layers.provenance
),
texts AS (
    SELECT
        route,
        tuple_id,
        layer,
        name,
        version,
        list(
            {'text': text, 'traces': traces, 'first_seen': first_seen, 'last_seen': last_seen} ORDER BY first_seen, text
        )[:10] AS served_texts,
        count(*) AS distinct_texts
    FROM layer_texts_of('served')
    GROUP BY route, tuple_id, layer, name, version
)
SELECT
    shares.route,
    shares.tuple_id,
    shares.traces,
    shares.share,
    shares.first_seen,
    shares.last_seen,
    members.layer,
    members.name,
    members.version,
    members.provenance,
    members.reason,
    [one.text for one in texts.served_texts] AS texts,
    texts.served_texts,
    coalesce(texts.distinct_texts, 0) AS distinct_texts,
    shares.example_trace_id
FROM shares
JOIN members ON members.route = shares.route AND members.tuple_id = shares.tuple_id
LEFT JOIN texts
    ON texts.route = members.route
    AND texts.tuple_id = members.tuple_id
    AND texts.layer = members.layer
    AND texts.name IS NOT DISTINCT FROM members.name
    AND texts.version = members.version
ORDER BY shares.route, shares.first_seen, shares.tuple_id, members.layer, members.name, members.version;
