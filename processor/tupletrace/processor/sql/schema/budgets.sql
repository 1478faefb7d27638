-- What may be spent: USD per day, week or month (UTC) by one `who` of a `scope`, or by each (`*`); `total` is everybody.
CREATE TABLE IF NOT EXISTS budgets (scope VARCHAR, who VARCHAR, per VARCHAR, usd DECIMAL(24, 12));
