-- A number that came as text; NULL for NaN and infinity, one of which would spoil every average.
CREATE OR REPLACE MACRO finite_number(said) AS
    CASE WHEN isfinite(TRY_CAST(said AS DOUBLE)) THEN TRY_CAST(said AS DOUBLE) END;
