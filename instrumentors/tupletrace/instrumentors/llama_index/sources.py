"""What was found so far where a model is called: by the engine, workflow, agent or tool that calls it."""

from collections.abc import Iterable
from typing import Any, Final

from opentelemetry.context import Context, create_key, get_value, set_value

from tupletrace.instrumentors.feeding import LooseSources, Source, Sources, narrowed, seen_in, source

_GATHERED: Final = create_key("tupletrace.llama_index.gathered")
_loose: Final = LooseSources()


class _Gathered:
    """What one engine, run, tool or retriever found; it is given to whatever called that, once it is done."""

    def __init__(self, above: "_Gathered | None") -> None:
        self.above = above
        self.found: dict[str, Source] = {}


def gathering(context: Context) -> Context:
    """Return a context that keeps what is found in it, apart from what is found beside it."""
    return set_value(_GATHERED, _Gathered(_current(context)), context)


def found(context: Context, name: str, version: str, nodes: Iterable[Any]) -> None:
    """Note what a retriever found in its own context, in place of what it asked others for."""
    gathered = _current(context)
    if gathered is not None:
        texts = (node.get_content() for node in nodes)
        gathered.found = {version: source(name, version, texts)}


def pass_on(context: Context) -> None:
    """Give what was found in a context that is done to what is around it."""
    gathered = _current(context)
    if gathered is None:
        return
    if gathered.above is None:
        _loose.add(gathered.found.values())
    else:
        gathered.above.found |= gathered.found


def sources_of(texts: Iterable[str], context: Context, *, read: bool) -> Sources:
    """Return the sources that a model is given, which is called with these texts in this context.

    ``read`` says whether what was found is there for the model at all.
    """
    gathered = _current(context)
    if gathered is not None and gathered.found:
        return (narrowed if read else seen_in)(dict(gathered.found), texts)
    return _loose.found_in(texts, context)


def _current(context: Context | None) -> _Gathered | None:
    value = get_value(_GATHERED, context)
    return value if isinstance(value, _Gathered) else None
