"""Which retrievers' documents a model was given, and how that is written on the inference."""

import asyncio
import threading
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any, Final

from opentelemetry.context import Context
from opentelemetry.trace import get_current_span

from tupletrace.semconv import names

_MOST_LOOSE: Final = 32
_MOST_HERE: Final = 8
_MOST_PLACES: Final = 512
_MOST_MARKS: Final = 8
_SEEN: Final = 400
_SHORTEST_MARK: Final = 12
_LONGEST_MARK: Final = 48


@dataclass(frozen=True, slots=True)
class Source:
    """A retriever that found something, and a few characters of what it found."""

    name: str
    version: str
    marks: tuple[str, ...]


Sources = Mapping[str, Source]
"""By version."""


def source(name: str, version: str, texts: Iterable[Any]) -> Source:
    """Return the source of documents with these texts."""
    marks = (_mark(text) for _, text in zip(range(_MOST_MARKS), texts, strict=False) if isinstance(text, str))
    return Source(name, version, tuple(mark for mark in marks if len(mark) >= _SHORTEST_MARK))


class LooseSources:
    """The latest retrievals that the program made by hand: only the text that a model is given tells on."""

    def __init__(self) -> None:
        self._latest: tuple[Source, ...] = ()
        self._here: dict[int, tuple[Source, ...]] = {}
        self._lock = threading.Lock()

    def add(self, sources: Iterable[Source], context: Context | None = None) -> None:
        """Remember what was found where no chain, graph or engine carries it to a model."""
        found, here = (*sources,), next(_places(context))
        with self._lock:
            self._latest = (*self._latest, *found)[-_MOST_LOOSE:]
            self._here[here] = (*self._here.pop(here, ()), *found)[-_MOST_HERE:]
            if len(self._here) > _MOST_PLACES:
                del self._here[next(iter(self._here))]

    def found_in(self, texts: Iterable[str], context: Context | None = None) -> Sources:
        """Return the sources, the latest of each document, of which these texts hold at least one.

        Those of the same trace come first, then of the same task or thread, then those of any.
        """
        if not self._latest:
            return {}
        text = "\n".join(texts)
        here = (self._here.get(place, ()) for place in _places(context))
        return next(filter(None, (_latest_in(text, sources) for sources in (*here, self._latest))), {})


def _latest_in(text: str, sources: tuple[Source, ...]) -> Sources:
    found: dict[str, Source] = {}
    seen: set[str] = set()
    # What several retrievers found came from the one that was asked last.
    for one in reversed(sources):
        if any(mark in text for mark in one.marks if mark not in seen):
            found[one.version] = one
        seen.update(one.marks)
    return found


def _places(context: Context | None) -> Iterator[int]:
    """Yield by what a retrieval and a call made here are known to belong together, the surer first."""
    if trace_id := get_current_span(context).get_span_context().trace_id:
        yield trace_id
    try:
        yield id(asyncio.current_task())
    except RuntimeError:
        yield threading.get_ident()


def narrowed(sources: Sources, texts: Iterable[str]) -> Sources:
    """Return those of several sources of which the texts hold a document, or all if they hold none's."""
    if len(sources) < 2:
        return sources
    seen = seen_in(sources, texts)
    # Of documents without a mark, too short ones, nothing can be seen.
    return {version: one for version, one in sources.items() if version in seen or not (seen and one.marks)}


def seen_in(sources: Sources, texts: Iterable[str]) -> Sources:
    """Return those of the sources of which the texts hold a document."""
    text = "\n".join(texts)
    return {version: one for version, one in sources.items() if any(mark in text for mark in one.marks)}


def write_sources(attributes: MutableMapping[str, Any], sources: Sources) -> None:
    """Set the versions of all, and name and version of the one if there is only one."""
    if sources:
        attributes[names.RETRIEVER_VERSIONS] = sorted(sources)
    if len(sources) == 1:
        (only,) = sources.values()
        attributes[names.RETRIEVER_NAME], attributes[names.RETRIEVER_VERSION] = only.name, only.version


def _mark(text: str) -> str:
    # One line of it: what joins documents may indent, quote or cut them.
    return max(text[:_SEEN].splitlines(), key=len, default="").strip()[:_LONGEST_MARK]
