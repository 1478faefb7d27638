-- What this file is: schema_version, and journal_seq, the last journalled request that is indexed here.
CREATE TABLE IF NOT EXISTS meta (key VARCHAR, value BIGINT);
-- One row a span: canonical columns of every dialect, and every attribute as it came.
-- No primary key: a batch is anti-joined against the days it touches (PK: 26 k spans/s, anti-join: 40 k).
CREATE TABLE IF NOT EXISTS spans (
    trace_id VARCHAR,
    span_id VARCHAR,
    parent_span_id VARCHAR,
    name VARCHAR,
    kind VARCHAR,
    service_name VARCHAR,
    scope_name VARCHAR,
    scope_version VARCHAR,
    start_time TIMESTAMP WITH TIME ZONE,
    start_unix_nano BIGINT,
    duration_ns BIGINT,
    status_code VARCHAR,
    status_message VARCHAR,
    error_type VARCHAR,
    day DATE,
    dialect VARCHAR,
    operation_name VARCHAR,
    provider_name VARCHAR,
    request_model VARCHAR,
    response_model VARCHAR,
    model_revision VARCHAR,
    system_fingerprint VARCHAR,
    service_tier VARCHAR,
    response_id VARCHAR,
    finish_reasons VARCHAR,
    input_tokens BIGINT,
    output_tokens BIGINT,
    cache_read_input_tokens BIGINT,
    cache_write_input_tokens BIGINT,
    reasoning_output_tokens BIGINT,
    total_tokens BIGINT,
    usage_unreadable BOOLEAN,
    reported_cost_usd DECIMAL(24, 12),
    time_to_first_chunk_s DOUBLE,
    input_messages VARCHAR USING COMPRESSION zstd,
    output_messages VARCHAR USING COMPRESSION zstd,
    system_instructions VARCHAR USING COMPRESSION zstd,
    tool_definitions VARCHAR USING COMPRESSION zstd,
    prompt_template VARCHAR USING COMPRESSION zstd,
    prompt_name VARCHAR,
    prompt_version VARCHAR,
    prompt_provenance VARCHAR,
    data_source_id VARCHAR,
    retriever_name VARCHAR,
    retriever_version VARCHAR,
    tools_names VARCHAR,
    tools_version VARCHAR,
    tool_name VARCHAR,
    tool_call_id VARCHAR,
    agent_name VARCHAR,
    agent_step BIGINT,
    workflow_name VARCHAR,
    graph_node VARCHAR,
    conversation_id VARCHAR,
    user_id VARCHAR,
    route VARCHAR,
    http_route VARCHAR,
    trace_state VARCHAR,
    attributes MAP(VARCHAR, VARCHAR),
    resource_attributes MAP(VARCHAR, VARCHAR),
    events STRUCT(time_unix_nano BIGINT, name VARCHAR, attributes MAP(VARCHAR, VARCHAR))[],
    links STRUCT(trace_id VARCHAR, span_id VARCHAR, attributes MAP(VARCHAR, VARCHAR))[],
    journal_seq BIGINT
);
-- Evaluation results joined to the span or trace they judge.
CREATE TABLE IF NOT EXISTS evaluations (
    trace_id VARCHAR,
    span_id VARCHAR,
    name VARCHAR,
    evaluator_name VARCHAR,
    evaluator_version VARCHAR,
    score_value DOUBLE,
    score_label VARCHAR,
    passed BOOLEAN,
    explanation VARCHAR,
    time TIMESTAMP WITH TIME ZONE
);
-- USD per token (request_usd: per request) of a model while a price was valid; NULL: no such price is known.
-- 22 decimals: some published prices carry the noise of a binary fraction, and cost is exact to the last digit.
-- daily_from/daily_to: time of day (UTC) of off-peak prices. above/up_to_input_tokens: context tiers.
-- A model that was looked up and is unknown has one row without any price and without a source.
CREATE TABLE IF NOT EXISTS price_book (
    provider_name VARCHAR,
    model VARCHAR,
    service_tier VARCHAR,
    input_usd DECIMAL(26, 22),
    cache_read_usd DECIMAL(26, 22),
    cache_write_usd DECIMAL(26, 22),
    output_usd DECIMAL(26, 22),
    reasoning_usd DECIMAL(26, 22),
    request_usd DECIMAL(26, 22),
    above_input_tokens BIGINT,
    up_to_input_tokens BIGINT,
    valid_from TIMESTAMP WITH TIME ZONE,
    valid_to TIMESTAMP WITH TIME ZONE,
    daily_from TIME,
    daily_to TIME,
    source VARCHAR
);
-- Traces that received spans lately: their rollups are computed live until they settle.
CREATE TABLE IF NOT EXISTS open_traces (trace_id VARCHAR, first_day DATE, last_indexed TIMESTAMP WITH TIME ZONE);
-- `live_llm_calls` of settled traces.
CREATE TABLE IF NOT EXISTS settled_llm_calls (
    trace_id VARCHAR,
    span_id VARCHAR,
    service_name VARCHAR,
    start_time TIMESTAMP WITH TIME ZONE,
    duration_ns BIGINT,
    status_code VARCHAR,
    error_type VARCHAR,
    operation_name VARCHAR,
    provider_name VARCHAR,
    request_model VARCHAR,
    response_model VARCHAR,
    model_revision VARCHAR,
    service_tier VARCHAR,
    response_id VARCHAR,
    finish_reasons VARCHAR,
    time_to_first_chunk_s DOUBLE,
    prompt_name VARCHAR,
    prompt_version VARCHAR,
    prompt_provenance VARCHAR,
    retriever_name VARCHAR,
    retriever_version VARCHAR,
    tools_names VARCHAR,
    tools_version VARCHAR,
    agent_name VARCHAR,
    agent_step BIGINT,
    conversation_id VARCHAR,
    user_id VARCHAR,
    route VARCHAR,
    input_tokens BIGINT,
    input_uncached_tokens BIGINT,
    cache_read_tokens BIGINT,
    cache_write_tokens BIGINT,
    output_tokens BIGINT,
    reasoning_tokens BIGINT,
    usage_status VARCHAR
);
-- `live_usage_roles` of settled traces.
CREATE TABLE IF NOT EXISTS settled_usage_roles (
    trace_id VARCHAR,
    span_id VARCHAR,
    start_unix_nano BIGINT,
    usage_role VARCHAR,
    duplicate_of VARCHAR,
    duplicate_of_trace_id VARCHAR
);
-- `live_layers` of settled traces: which layers took part in which trace.
CREATE TABLE IF NOT EXISTS settled_layers (
    trace_id VARCHAR,
    layer VARCHAR,
    name VARCHAR,
    version VARCHAR,
    provenance VARCHAR,
    reason VARCHAR
);
-- `live_traces` of settled traces.
CREATE TABLE IF NOT EXISTS settled_traces (
    trace_id VARCHAR,
    day DATE,
    route VARCHAR,
    service_name VARCHAR,
    start_time TIMESTAMP WITH TIME ZONE,
    duration_ns BIGINT,
    spans BIGINT,
    status_code VARCHAR,
    tuple_id VARCHAR,
    model_state VARCHAR,
    prompt_state VARCHAR,
    retriever_state VARCHAR,
    tools_state VARCHAR,
    evaluator_state VARCHAR,
    covered BOOLEAN,
    has_root BOOLEAN
);
-- What its store wrote beside the tables, and one settled trace.
INSERT INTO meta VALUES ('schema_version', 2), ('journal_seq', 7);
INSERT INTO spans (trace_id, span_id, name, start_time, start_unix_nano, duration_ns, day, dialect, operation_name,
    provider_name, request_model, response_model, input_tokens, output_tokens, usage_unreadable, prompt_name,
    prompt_version, prompt_provenance, graph_node, route, attributes, resource_attributes, journal_seq)
VALUES ('0000000000000000000000000000000a', '000000000000000a', 'chat gpt-4o', '2026-01-01 12:00:00+00',
    1767268800000000000, 1000000, '2026-01-01', 'genai', 'chat', 'openai', 'gpt-4o', 'gpt-4o', 10, 5, FALSE,
    'answer', '3', 'declared', 'plan', 'a', MAP {'gen_ai.operation.name': 'chat', 'tupletrace.graph.path': 'team/plan'},
    MAP {'service.name': 'tests'}, 7);
INSERT INTO settled_traces (trace_id, day, route, spans, covered, has_root)
VALUES ('0000000000000000000000000000000a', '2026-01-01', 'a', 1, TRUE, TRUE);
INSERT INTO settled_llm_calls (trace_id, span_id, input_tokens, output_tokens)
VALUES ('0000000000000000000000000000000a', '000000000000000a', 10, 5);
CREATE VIEW traces AS SELECT trace_id, route FROM settled_traces;
CREATE VIEW no_longer AS SELECT * FROM traces;
CREATE MACRO whole_number(x) AS TRY_CAST(x AS BIGINT);
