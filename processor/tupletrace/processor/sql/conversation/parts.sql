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
        '$.mime_type', '$.mediaType', '$.media_type', '$.source.media_type', '$.mimeType', '$.inlineData.mimeType',
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
        'mime': coalesce(first_string(g[1:9]), 'image/' || (g[10] ->> '$'), 'audio/' || (g[11] ->> '$')),
        'url': coalesce(first_string(g[12:21]), first_address(g[22:25])),
        'data': first_string(g[26:36]),
        'file': first_string(g[37:40]),
        'named': coalesce(
            type, CASE WHEN coalesce(g[10], g[16]) IS NOT NULL THEN 'image' WHEN g[17] IS NOT NULL THEN 'audio' END
        )
    }),
    lambda m: medium(m, kind_of(m.named, m.mime))
)[1];

-- Blocks without a type: Amazon's and Google's, and a text.
CREATE MACRO untyped_part(block) AS list_transform(
    [json_extract(block, [
        '$.text', '$.toolUse', '$.toolResult', '$.functionCall', '$.function_call', '$.functionResponse', '$.function_response',
        '$.reasoningContent.reasoningText.text', '$.inlineData', '$.inline_data', '$.fileData', '$.image', '$."image.image.url"',
        '$.tool_name', '$.toolRequest', '$.toolResponse', '$.media'
    ])],
    lambda g: CASE
        WHEN g[1] IS NOT NULL THEN text_part(g[1] ->> '$')
        WHEN g[2] IS NOT NULL THEN call_part(g[2] ->> '$.toolUseId', g[2] ->> '$.name', json_extract(g[2], '$.input'))
        WHEN g[3] IS NOT NULL THEN answer_part(g[3] ->> '$.toolUseId', answer_of(json_extract(g[3], '$.content')))
        WHEN coalesce(g[4], g[5]) IS NOT NULL THEN call_part(
            coalesce(g[4], g[5]) ->> '$.id', coalesce(g[4], g[5]) ->> '$.name', json_extract(coalesce(g[4], g[5]), '$.args')
        )
        WHEN coalesce(g[6], g[7]) IS NOT NULL
            THEN answer_part(coalesce(g[6], g[7]) ->> '$.id', json_extract(coalesce(g[6], g[7]), '$.response'))
        WHEN g[8] IS NOT NULL THEN json_object('type', 'reasoning', 'content', g[8] ->> '$')
        WHEN g[14] IS NOT NULL THEN call_of(block)
        WHEN g[15] IS NOT NULL THEN call_part(g[15] ->> '$.ref', g[15] ->> '$.name', json_extract(g[15], '$.input'))
        WHEN g[16] IS NOT NULL THEN answer_part(g[16] ->> '$.ref', json_extract(g[16], '$.output'))
        WHEN g[17] IS NOT NULL THEN medium(
            {'mime': g[17] ->> '$.contentType', 'url': g[17] ->> '$.url', 'data': NULL, 'file': NULL},
            kind_of('image', g[17] ->> '$.contentType')
        )
        WHEN coalesce(g[9], g[10], g[11], g[12], g[13]) IS NOT NULL THEN medium_of(block, NULL)
        ELSE block
    END
)[1];

-- A tool call in any vendor's shape.
CREATE MACRO call_of(block) AS list_transform(
    [json_extract(block, [
        '$.call_id', '$.toolCallId', '$.tool_call_id', '$.id', '$.tool_id',
        '$.name', '$.toolName', '$.tool_name', '$.function.name',
        '$.arguments', '$.input', '$.args', '$.tool_kwargs', '$.function.arguments', '$.tool_arguments', '$.parameters'
    ])],
    lambda g: call_part(first_string(g[1:5]), first_string(g[6:9]), unpacked(first_real(g[10:16])))
)[1];

CREATE MACRO answered(block) AS list_transform(
    [json_extract(block, [
        '$.tool_use_id', '$.call_id', '$.toolCallId', '$.tool_call_id', '$.id',
        '$.response', '$.output', '$.result', '$.content'
    ])],
    lambda g: answer_part(first_string(g[1:5]), answer_of(first_real(g[6:9])))
)[1];

-- One block of a message in any vendor's shape, as the conventions have it. `f`: what most blocks have.
CREATE MACRO part_of(f) AS CASE
    WHEN json_type(f[1]) = 'VARCHAR' THEN text_part(f[1] ->> '$')
    WHEN json_type(f[1]) <> 'OBJECT' THEN f[1]
    ELSE CASE coalesce(f[2] ->> '$', f[5] ->> '$', f[6] ->> '$', CASE WHEN f[3] IS NOT NULL THEN 'text' ELSE '' END)
        WHEN 'text' THEN text_part(first_string(f[3:4]))
        WHEN 'input_text' THEN text_part(f[3] ->> '$')
        WHEN 'output_text' THEN text_part(f[3] ->> '$')
        WHEN 'summary_text' THEN text_part(f[3] ->> '$')
        WHEN 'tool_call' THEN call_of(f[1])
        WHEN 'tool_use' THEN call_of(f[1])
        WHEN 'tool-call' THEN call_of(f[1])
        WHEN 'function_call' THEN call_of(f[1])
        WHEN 'function' THEN call_of(f[1])
        WHEN 'tool_call_response' THEN answered(f[1])
        WHEN 'tool_result' THEN answered(f[1])
        WHEN 'tool-result' THEN answered(f[1])
        WHEN 'tool-return' THEN answered(f[1])
        WHEN 'function_call_output' THEN answered(f[1])
        WHEN 'reasoning' THEN thought_part(f)
        WHEN 'thinking' THEN thought_part(f)
        WHEN 'reasoning_content' THEN thought_part(f)
        WHEN 'blob' THEN f[1]
        WHEN 'uri' THEN f[1]
        WHEN '' THEN untyped_part(f[1])
        ELSE CASE
            WHEN regexp_matches(coalesce(f[2], f[5], f[6]) ->> '$', 'image|audio|video|document|file|media|binary')
                THEN medium_of(f[1], coalesce(f[2], f[5], f[6]) ->> '$')
            ELSE f[1]
        END
    END
END;

CREATE MACRO parts_of(blocks) AS list_filter(
    list_transform(
        list_transform(blocks, lambda block: json_extract(
            block, ['$', '$.type', '$.text', '$.content', '$.block_type', '$.part_kind', '$.thinking', '$.reasoning', '$.summary']
        )),
        lambda f: part_of(f)
    ),
    lambda part: part <> 'null' AND coalesce(part ->> '$.content', 'x') <> ''
);

