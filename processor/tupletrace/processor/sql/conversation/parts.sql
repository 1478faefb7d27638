-- One block of a message in any vendor's shape -> a part as the conventions have it.
-- A picture, sound, film or paper: inline, at an address, or a file that its provider keeps.
CREATE MACRO medium(m, kind) AS json_merge_patch('{}', CASE
    WHEN m.url LIKE 'data:%' THEN json_object(
        'type', 'blob', 'modality', kind,
        'mime_type', coalesce(nullif(regexp_extract(m.url, '^data:([^;,]+)', 1), ''), m.mime),
        'content', regexp_extract(m.url, ',(.*)$', 1, 's')
    )
    WHEN m.url IS NOT NULL THEN json_object('type', 'uri', 'modality', kind, 'mime_type', m.mime, 'uri', m.url)
    WHEN m.data IS NOT NULL
        THEN json_object('type', 'blob', 'modality', kind, 'mime_type', m.mime, 'content', m.data)
    ELSE json_object('type', 'file', 'modality', kind, 'mime_type', m.mime, 'file_id', m.file)
END);

CREATE MACRO kind_of(type, mime) AS CASE
    WHEN split_part(mime, '/', 1) IN ('image', 'audio', 'video') THEN split_part(mime, '/', 1)
    WHEN type LIKE '%image%' THEN 'image' WHEN type LIKE '%audio%' THEN 'audio' WHEN type LIKE '%video%' THEN 'video'
    ELSE 'document'
END;

CREATE MACRO medium_of(block, type) AS list_transform(list_transform(
    [json_extract(block, [
        '$.contentType', '$.mime_type', '$.mediaType', '$.media_type', '$.source.media_type', '$.mimeType', '$.inlineData.mimeType',
        '$.inline_data.mime_type', '$.fileData.mimeType', '$."audio.audio.mime_type"', '$.image.format',
        '$.input_audio.format',
        '$.image_url.url', '$.url', '$.uri', '$.source.url', '$."image.image.url"', '$."audio.audio.url"',
        '$."video.video.url"', '$."document.document.url"', '$.file_url', '$.fileData.fileUri',
        '$.image_url', '$.image', '$.data', '$.file.file_data',
        '$.source.data', '$.base64', '$.inlineData.data', '$.inline_data.data', '$.input_audio.data',
        '$.image.source.bytes', '$.data', '$.file.file_data', '$.file_data', '$.image', '$.content',
        '$.file_id', '$.file.file_id', '$.source.file_id', '$.id'
    ])],
    lambda g: {
        'mime': coalesce(first_string(g[1:10]), 'image/' || (g[11] ->> '$'), 'audio/' || (g[12] ->> '$')),
        'url': coalesce(first_string(g[13:22]), first_address(g[23:26])),
        'data': first_string(g[27:37]),
        'file': first_string(g[38:41]),
        'named': coalesce(
            CASE WHEN coalesce(g[11], g[17]) IS NOT NULL THEN 'image' WHEN g[18] IS NOT NULL THEN 'audio' END, type
        )
    }),
    lambda m: medium(m, kind_of(m.named, m.mime))
)[1];

-- A tool call in any vendor's shape.
CREATE MACRO call_of(block) AS list_transform(
    [json_extract(block, [
        '$.call_id', '$.toolCallId', '$.tool_call_id', '$.id', '$.tool_id', '$.toolUseId', '$.ref',
        '$.name', '$.toolName', '$.tool_name', '$.function.name',
        '$.arguments', '$.input', '$.args', '$.tool_kwargs', '$.function.arguments', '$.tool_arguments', '$.parameters'
    ])],
    lambda g: call_part(first_string(g[1:7]), first_string(g[8:11]), unpacked(first_real(g[12:18])))
)[1];

CREATE MACRO answered(block) AS list_transform(
    [json_extract(block, [
        '$.tool_use_id', '$.call_id', '$.toolCallId', '$.tool_call_id', '$.id', '$.toolUseId', '$.ref',
        '$.response', '$.output', '$.result', '$.content'
    ])],
    lambda g: answer_part(first_string(g[1:7]), answer_of(first_real(g[8:11])))
)[1];

-- What kind of block it is, by its type or by what it has: Amazon's and Google's have none. `f`: as below.
CREATE MACRO type_of(f) AS coalesce(
    CASE WHEN f[26] = 'true' THEN 'reasoning' END,
    f[2] ->> '$', f[5] ->> '$', f[6] ->> '$',
    CASE
        WHEN f[3] <> 'null' THEN 'text'
        WHEN first_real(f[10:14]) IS NOT NULL THEN 'tool_call'
        WHEN first_real(f[15:18]) IS NOT NULL THEN 'tool_call_response'
        WHEN f[19] IS NOT NULL THEN 'reasoning'
        WHEN first_real(f[20:24]) IS NOT NULL THEN 'media'
        WHEN f[25] IS NOT NULL THEN 'image'
    END
);

-- Each macro is mentioned once: every mention is planned again.
CREATE MACRO part_of(f) AS list_transform([type_of(f)], lambda type: CASE
    WHEN json_type(f[1]) = 'VARCHAR' THEN text_part(f[1] ->> '$')
    WHEN json_type(f[1]) <> 'OBJECT' THEN f[1]
    WHEN type IN ('text', 'input_text', 'output_text', 'summary_text') THEN text_part(first_string(f[3:4]))
    WHEN type IN ('tool_call', 'tool_use', 'tool-call', 'function_call', 'function')
        THEN call_of(coalesce(first_real(f[11:14]), f[1]))
    WHEN type IN ('tool_call_response', 'tool_result', 'tool-result', 'tool-return', 'function_call_output')
        THEN answered(coalesce(first_real(f[15:18]), f[1]))
    WHEN type IN ('reasoning', 'thinking', 'reasoning_content') THEN thought_part(f)
    WHEN type NOT IN ('blob', 'uri') AND regexp_matches(type, 'image|audio|video|document|file|media|binary')
        THEN medium_of(coalesce(f[25], f[1]), type)
    ELSE f[1]
END)[1];

CREATE MACRO parts_of(blocks) AS list_filter(
    list_transform(
        list_transform(blocks, lambda block: json_extract(block, [
            '$', '$.type', '$.text', '$.content', '$.block_type', '$.part_kind', '$.thinking', '$.reasoning', '$.summary',
            '$.tool_name', '$.toolUse', '$.functionCall', '$.function_call', '$.toolRequest',
            '$.toolResult', '$.functionResponse', '$.function_response', '$.toolResponse',
            '$.reasoningContent.reasoningText.text',
            '$.inlineData', '$.inline_data', '$.fileData', '$.image', '$."image.image.url"', '$.media', '$.thought'
        ])),
        lambda f: part_of(f)
    ),
    lambda part: part <> 'null' AND coalesce(part ->> '$.content', 'x') <> ''
);
