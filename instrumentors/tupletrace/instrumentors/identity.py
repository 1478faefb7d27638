"""What identifies the layers of one call, and how it is written on a span.

An identity is written whole or not at all: a layer without one is ``missing``, which the processor says.
"""

import functools
import hashlib
import json
import marshal
import sys
import sysconfig
from collections.abc import Iterable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from tupletrace.semconv import fingerprint, names

_REMEMBERED: Final = 8192
"""Characters of the longest static text whose version is remembered, 256 of them."""
_TOOLS_REMEMBERED: Final = 256
_tools: Final[dict[bytes, tuple[list[str], str]]] = {}
_COMPREHENSIONS: Final = ("<genexpr>", "<listcomp>", "<dictcomp>", "<setcomp>")
_LIBRARY_ROOTS: Final = tuple({sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib")})
_LIBRARY_FOLDERS: Final = ("/site-packages/", "/dist-packages/", "\\site-packages\\")


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt's name, version and provenance (``declared`` by somebody, or ``derived`` by fingerprint).

    ``template``: role and text of what it was rendered from, where that is at hand.
    """

    name: str
    version: str
    provenance: Literal["declared", "derived"]
    template: Sequence[tuple[str, str]] = field(default=(), compare=False)

    def write(self, attributes: MutableMapping[str, Any], *, content: bool = False) -> None:
        """Set the attributes, with ``content`` the template, last: the SDK drops the oldest past 128."""
        if content and self.template:
            written = [{"role": role, "content": text} for role, text in self.template]
            attributes[names.PROMPT_TEMPLATE] = json.dumps(written, ensure_ascii=False)
        attributes[names.PROMPT_NAME] = self.name
        attributes[names.PROMPT_VERSION] = self.version
        attributes[names.PROMPT_PROVENANCE] = self.provenance


def static_prompt(
    texts: Sequence[tuple[str, str]], name: str | None = None, response_schema: Any = None
) -> Prompt | None:
    """Derive a prompt from rendered ``(role, text)`` of system and developer messages; None without any.

    ``name`` defaults to the function of the user's that made the call.
    """
    if not texts:
        return None
    name = name or caller_name()
    if response_schema is None and sum([len(text) for _, text in texts]) <= _REMEMBERED:
        return _derived(name, tuple(texts))
    return Prompt(name, fingerprint.static_text_version(texts, response_schema), "derived")


def write_tools(attributes: MutableMapping[str, Any], definitions: Iterable[Mapping[str, Any]]) -> None:
    """Set names and version of the tools that the model was offered."""
    offered = list(definitions)
    if not offered:
        return
    try:
        # Definitions are the program's to change: known again by all of what they say, never by `id`.
        seen = hashlib.blake2b(marshal.dumps(offered, 2)).digest()
    except ValueError:
        identity = fingerprint.tools_identity(offered)
    else:
        identity = _tools.get(seen)
        if identity is None:
            if len(_tools) >= _TOOLS_REMEMBERED:
                _tools.clear()
            identity = _tools[seen] = fingerprint.tools_identity(offered)
    attributes[names.TOOLS_NAMES], attributes[names.TOOLS_VERSION] = [*identity[0]], identity[1]


def caller_name(fallback: str | None = None, barriers: tuple[str, ...] = ("asyncio.events",)) -> str:
    """Return the qualified name of the innermost function on the stack that is the user's own.

    ``fallback``, when given, is the answer where the stack ends (a thread) or a module of ``barriers``
    (an event loop) comes first: what lies beyond called something else.
    """
    frame = sys._getframe(1)  # pyright: ignore[reportPrivateUsage]
    outermost = frame
    while frame is not None:
        outermost = frame
        module = frame.f_globals.get("__name__", "")
        if fallback is not None and module.startswith(barriers):
            return fallback
        if module == "__main__" or not (
            _is_library(frame.f_code.co_filename) or module.startswith(("tupletrace.", "opentelemetry."))
        ):
            break
        frame = frame.f_back
    if frame is None and fallback is not None:
        return fallback
    code = (frame or outermost).f_code
    name = code.co_qualname
    # From Python 3.12 on only some of them are functions at all.
    while name.endswith(_COMPREHENSIONS):
        name = name.rpartition("<")[0].removesuffix(".<locals>.")
    return Path(code.co_filename).stem if name in ("", "<module>") else name


@functools.lru_cache(maxsize=4096)
def _is_library(filename: str) -> bool:
    return filename.startswith(("<", *_LIBRARY_ROOTS)) or any(
        folder in filename for folder in _LIBRARY_FOLDERS
    )


@functools.lru_cache(maxsize=256)
def _derived(name: str, texts: tuple[tuple[str, str], ...]) -> Prompt:
    return Prompt(name, fingerprint.static_text_version(texts), "derived")
