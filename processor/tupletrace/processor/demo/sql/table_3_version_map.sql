-- Version map: which version of each layer (a model's without its fingerprint) served which route, in how many traces
SELECT
    route,
    layer,
    split_part(version, '@', 1) AS version,
    traces
FROM version_map
ORDER BY route, layer, name, first_seen, version_map.version
