-- USD of so many nanoseconds at so much a second, exact; 0 where either is unknown. No decimal of DuckDB's has room for
-- the whole product, one of the seconds and one of the rest has.
CREATE OR REPLACE MACRO seconds_cost(nanoseconds, price) AS
    coalesce(
        CAST(nanoseconds // 1000000000 AS DECIMAL(10, 0)) * price
            + CAST(
                CAST(CAST(nanoseconds % 1000000000 AS DECIMAL(9, 0)) * price AS DECIMAL(28, 15))
                    * CAST(0.000000001 AS DECIMAL(9, 9)) AS DECIMAL(36, 22)
            ),
        0
    );
