"""Where the wrappers go: into the classes of a family, those that a program defines later included."""

import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tupletrace.instrumentors.base import Patches, Wrapper
from tupletrace.instrumentors.firewall import guard


@dataclass(frozen=True)
class Family:
    """A base class of LlamaIndex, by name, and the wrapper of each of its methods."""

    base: str
    methods: Mapping[str, Wrapper]
    defaults: bool = True
    """Whether the base class's own implementations are wrapped too."""


class Classes:
    """Wraps the methods of every class that belongs to a family."""

    def __init__(self, patches: Patches, families: list[Family]) -> None:
        self._patches = patches
        self._families = {family.base: family for family in families}

    def adopt_all(self) -> None:
        """Wrap the classes there are, and each one that is defined from now on."""
        root = sys.modules["llama_index_instrumentation"].DispatcherSpanMixin
        for cls in set(_subclasses(root)):
            self._adopt(cls)

        def defined(wrapped: Callable[..., Any], cls: Any, args: Any, kwargs: dict[str, Any]) -> Any:
            result = wrapped(*args, **kwargs)
            with guard("llama_index class definition"):
                self._adopt(cls)
            return result

        self._patches.wrap(root, "__init_subclass__", defined)

    def _adopt(self, cls: type) -> None:
        own = vars(cls)
        for base in cls.__mro__:
            family = self._families.get(f"{base.__module__}.{base.__qualname__}")
            if family is None or (base is cls and not family.defaults):
                continue
            for name, wrapper in family.methods.items():
                if name in own and not getattr(own[name], "__isabstractmethod__", False):
                    self._patches.wrap(cls, name, wrapper)


def _subclasses(cls: type) -> Iterator[type]:
    for subclass in cls.__subclasses__():
        yield subclass
        yield from _subclasses(subclass)
