"""Images, audio, video and files inside a message."""

import mimetypes
from typing import Any, Final

from opentelemetry.util.genai.types import BlobPart, FilePart, MessagePart
from opentelemetry.util.genai.utils import decode_base64, image_from_url

from tupletrace.instrumentors.openai.fields import field, text

_AUDIO_TYPES: Final = {"wav": "audio/wav", "mp3": "audio/mpeg"}


def media_part(item: Any) -> MessagePart | None:
    """Return the part of a content item of either API that is no text; None for anything unknown."""
    kind = field(item, "type")
    match kind:
        case "image_url" | "audio_url" | "video_url":
            return _at(field(item, kind), kind.removesuffix("_url"))
        case "input_image":
            return _at(field(item, "image_url"), "image") or _stored(item, None, "image")
        case "input_audio":
            return _audio(field(item, "input_audio"))
        case "file" | "input_file":
            return _file(field(item, "file") or item)
        case _:
            return None


def _at(address: Any, modality: str) -> MessagePart | None:
    url = text(address) or text(field(address, "url"))
    return image_from_url(url, modality=modality) if url else None


def _stored(item: Any, mime_type: str | None, modality: str) -> MessagePart | None:
    file_id = text(field(item, "file_id"))
    return FilePart(mime_type, modality, file_id) if file_id else None


def _audio(audio: Any) -> MessagePart | None:
    data = text(field(audio, "data"))
    content = decode_base64(data) if data else None
    mime_type = _AUDIO_TYPES.get(text(field(audio, "format")) or "")
    return BlobPart(mime_type, "audio", content) if content else None


def _file(file: Any) -> MessagePart | None:
    name = text(field(file, "filename"))
    mime_type = mimetypes.guess_type(name)[0] if name else None
    if stored := _stored(file, mime_type, "document"):
        return stored
    given = text(field(file, "file_url")) or text(field(file, "file_data"))
    if given is None or given.startswith(("data:", "https:", "http:")):
        return _at(given, "document")
    content = decode_base64(given)
    return BlobPart(mime_type, "document", content) if content else None
