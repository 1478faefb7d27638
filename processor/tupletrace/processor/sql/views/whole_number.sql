-- A count that came as text: 12, '12', 12.0. NULL where it is none: negative, a fraction, NaN, true, above a billion.
CREATE OR REPLACE MACRO whole_number(said) AS
    CASE
        WHEN TRY_CAST(said AS DOUBLE) BETWEEN 0 AND 1000000000
            AND TRY_CAST(said AS DOUBLE) = floor(TRY_CAST(said AS DOUBLE))
            THEN CAST(TRY_CAST(said AS DOUBLE) AS BIGINT)
    END;
