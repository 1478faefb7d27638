-- Whether a framework's call may be one that a client made in another trace, and had begun before it. It takes an hour at most.
CREATE OR REPLACE MACRO may_hold(framework, client) AS
    framework.trace_id <> client.trace_id
    AND framework.start_unix_nano < client.start_unix_nano
    AND framework.duration_ns <= 3600000000000
    AND same_call(framework, client);
