-- What changed on a route between two times: `tuple_diff` of the tuples that served it then.
CREATE OR REPLACE MACRO what_changed(of_route, before, after) AS TABLE
FROM tuple_diff(
    (SELECT tuple_id FROM serving_trace(of_route, before)), (SELECT tuple_id FROM serving_trace(of_route, after))
);
