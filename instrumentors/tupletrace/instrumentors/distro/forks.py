"""Forks: what must rest before one, and what a child may use after it."""

import os
import sys
import threading
from collections.abc import Callable, Sequence
from time import monotonic
from types import FrameType
from typing import Any, Final

from tupletrace.instrumentors.distro.sender import Sender

_FORK_WAIT_S: Final = 0.05
"""How long a fork waits for exports under way: a healthy one takes milliseconds."""
_OFF: Final = frozenset({"0", "f", "false", "n", "no"})


class ForkWatch:
    """Lets no export run while the process forks, and begins anew in the child."""

    def __init__(self, senders: Sequence[Sender], in_child: Callable[[], object]) -> None:
        self._senders = senders
        self._in_child = in_child
        self._grpc_was_idle = True

    def begin(self) -> None:
        """Watch from now on; after gRPC's import, so that its own hooks run when ours have made it idle."""
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(
                before=self._before,
                after_in_parent=self._after_in_parent,
                after_in_child=self._after_in_child,
            )

    def _before(self) -> None:
        until = monotonic() + _FORK_WAIT_S
        for sender in self._senders:
            sender.pause(until)
        self._grpc_was_idle = _can_grpc_fork()

    def _after_in_parent(self) -> None:
        for sender in self._senders:
            sender.resume()

    def _after_in_child(self) -> None:
        for sender in self._senders:
            sender.start_anew(grpc_was_idle=self._grpc_was_idle)
        self._in_child()


def _can_grpc_fork() -> bool:
    """Say whether gRPC's own fork handlers will run: not while another thread, of anybody's, is in gRPC."""
    if "grpc" not in sys.modules:
        return True
    if os.environ.get("GRPC_ENABLE_FORK_SUPPORT", "").lower() in _OFF:
        return False
    own = threading.get_ident()
    frames = sys._current_frames()  # pyright: ignore[reportPrivateUsage]
    if any(_is_in_grpc(frame) for ident, frame in frames.items() if ident != own):
        return False
    # Those that gRPC starts itself may show no Python frame of its own.
    return not any(_is_grpcs_own(t) for t in threading.enumerate())


def _is_in_grpc(frame: FrameType | None) -> bool:
    while frame is not None:
        if str(frame.f_globals.get("__name__")).startswith("grpc."):
            return True
        frame = frame.f_back
    return False


def _is_grpcs_own(thread: threading.Thread) -> bool:
    target: Any = getattr(thread, "_target", None)
    return str(getattr(target, "__module__", None)).startswith("grpc.")
