-- USD of so many tokens at so much a token, exact; 0 where either is unknown (the caller says so).
CREATE OR REPLACE MACRO token_cost(tokens, price) AS
    coalesce(CAST(tokens AS DECIMAL(10, 0)) * price, 0);
