-- When the span began, in microseconds, before which a share ($share) of those that began from $since on lie.
SELECT epoch_us(quantile_disc(start_time, $share)) AS began
FROM spans
WHERE start_time >= make_timestamptz($since);
