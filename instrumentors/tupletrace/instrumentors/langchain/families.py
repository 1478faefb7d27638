"""Methods that LangChain leaves to its subclasses: wrapped in each, those that come later included."""

import sys
from collections.abc import Callable, Iterator
from typing import Any

from tupletrace.instrumentors.base import Patches, Wrapper
from tupletrace.instrumentors.firewall import guard

Choose = Callable[[str], Wrapper | None]
"""Returns the wrapper of the method of that name, if it is to have one."""


def adopt(patches: Patches, module: str, base: str, choose: Choose) -> None:
    """Wrap the chosen methods of a base class and of every class derived from it."""
    root = getattr(sys.modules[module], base)
    for kind in {root, *_subclasses(root)}:
        _adopt(patches, kind, choose)

    def defined(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        result = wrapped(*args, **kwargs)
        with guard(f"langchain {base} definition"):
            # `object` implements it in C, of which wrapt does not tell the class.
            _adopt(patches, wrapped.__self__, choose)
        return result

    patches.wrap(root, "__init_subclass__", defined)


def _adopt(patches: Patches, kind: type, choose: Choose) -> None:
    for name, method in list(vars(kind).items()):
        if getattr(method, "__isabstractmethod__", False) or not callable(method):
            continue
        wrapper = choose(name)
        if wrapper is not None:
            patches.wrap(kind, name, wrapper)


def _subclasses(kind: type) -> Iterator[type]:
    for subclass in kind.__subclasses__():
        yield subclass
        yield from _subclasses(subclass)
