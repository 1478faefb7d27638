"""The wrapped calls of retrievers and vector stores: who is asked, and what is found."""

import functools
import inspect
import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

from opentelemetry.context import get_value

from tupletrace.instrumentors.base import Wrapper
from tupletrace.instrumentors.firewall import guard
from tupletrace.instrumentors.langchain import retrievers
from tupletrace.instrumentors.langchain.calls import ambient_parent_id, parent_id
from tupletrace.instrumentors.langchain.recorder import Recorder, finish_retrieval
from tupletrace.instrumentors.langchain.runs import Run
from tupletrace.instrumentors.langchain.scope import InScope, Scope
from tupletrace.instrumentors.langchain.starts import Starts
from tupletrace.instrumentors.langchain.stores import holds

Call = Callable[..., Any]
Args = tuple[Any, ...]
Kwargs = dict[str, Any]
_SEARCH: Final = re.compile(
    r"(a?)(similarity|vector|knn|(?:hybrid_)?max_marginal_relevance|(?:semantic_|knn_)?hybrid)_search(?!_index)"
)
_TYPES: Final = {"vector": "similarity", "knn": "similarity", "max_marginal_relevance": "mmr"}
"""How a method searches -> the same as a retriever's search type."""
_NOT_SETTINGS: Final = frozenset({"input", "config", "run_id"})


class Retrievals:
    """Wrappers in wrapt's form, of retrievers' methods and of the searches that stores offer themselves."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._starts = Starts(recorder)

    def retrieve(self, wrapped: Call, instance: Any, args: Args, kwargs: Kwargs) -> Any:
        """Record a retrieval, with the retriever at hand that its callbacks leave out."""
        return self._call(self._retrieval(instance, args, kwargs), wrapped, args, kwargs)

    def aretrieve(self, wrapped: Call, instance: Any, args: Args, kwargs: Kwargs) -> Any:
        """Record an asynchronous retrieval."""
        return self._acall(partial(self._retrieval, instance, args, kwargs), wrapped, args, kwargs)

    def own(self, method: str) -> Wrapper | None:
        """Return the wrapper of a method that a retriever implements anew, as an ensemble does."""
        return {"invoke": self.retrieve, "ainvoke": self.aretrieve}.get(method)

    def search(self, method: str) -> Wrapper | None:
        """Return the wrapper of a vector store's method, if it is one that searches."""
        match = _SEARCH.match(method)
        if match is None:
            return None
        search_type = _TYPES.get(match[2], match[2])
        return partial(self._asearch if match[1] else self._search, method, search_type)

    def _search(self, method: str, how: str, wrapped: Call, instance: Any, args: Args, kwargs: Kwargs) -> Any:
        return self._call(self._direct(instance, method, how, args, kwargs), wrapped, args, kwargs)

    def _asearch(
        self, method: str, how: str, wrapped: Call, instance: Any, args: Args, kwargs: Kwargs
    ) -> Any:
        return self._acall(partial(self._direct, instance, method, how, args, kwargs), wrapped, args, kwargs)

    def _call(self, run: Run | None, wrapped: Call, args: Args, kwargs: Kwargs) -> Any:
        if run is None:
            return wrapped(*args, **kwargs)
        try:
            documents = Scope("retriever", run=run).step(wrapped, *args, **kwargs)
        except BaseException as error:
            self._recorder.close(run, error)
            raise
        self._found(run, args, kwargs, documents)
        return documents

    async def _acall(self, begin: Callable[[], Run | None], wrapped: Call, args: Args, kwargs: Kwargs) -> Any:
        run = begin()
        if run is None:
            return await wrapped(*args, **kwargs)
        try:
            documents = await InScope(wrapped(*args, **kwargs), Scope("retriever", run=run))
        except BaseException as error:
            self._recorder.close(run, error)
            raise
        self._found(run, args, kwargs, documents)
        return documents

    @guard("langchain retrieval")
    def _retrieval(self, retriever: Any, args: Args, kwargs: Kwargs) -> Run | None:
        if any(one is retriever for one in _asked()) or not self._recorder.listening:
            return None
        config = (args[1] if len(args) > 1 else kwargs.get("config")) or {}
        given = {key: value for key, value in kwargs.items() if key not in _NOT_SETTINGS}
        name = config.get("run_name") or retriever.get_name()
        runs = self._recorder.runs
        given_parent = runs.get(parent_id(config))
        return self._starts.retriever(
            given_parent if given_parent is not None else runs.innermost(ambient_parent_id()),
            name,
            (retriever, retrievers.store_of(retriever)),
            partial(retrievers.configuration, retriever, given),
        )

    @guard("langchain search")
    def _direct(self, store: Any, method: str, how: str, args: Args, kwargs: Kwargs) -> Run | None:
        if any(one is store or holds(one, store) for one in _asked()) or not self._recorder.listening:
            return None
        # The first says what is looked for.
        given = dict(zip(_parameters(type(store), method)[1:], args[1:], strict=False)) | kwargs
        configured = partial(retrievers.search_configuration, store, how, given)
        parent = self._recorder.runs.innermost(ambient_parent_id())
        return self._starts.retriever(parent, type(store).__name__, (store,), configured)

    @guard("langchain retrieval")
    def _found(self, run: Run, args: Args, kwargs: Mapping[str, Any], documents: Any) -> None:
        with guard("langchain documents"):
            query = args[0] if args else kwargs.get("input", kwargs.get("query"))
            finish_retrieval(run, query, documents)
        self._recorder.close(run)


def _asked() -> tuple[Any, ...]:
    asked = get_value(retrievers.ASKED)
    return asked if isinstance(asked, tuple) else ()


@functools.lru_cache(maxsize=512)
def _parameters(store: type[Any], method: str) -> tuple[str, ...]:
    names = tuple(inspect.signature(getattr(store, method)).parameters)
    return names[1:] if names[:1] == ("self",) else names
