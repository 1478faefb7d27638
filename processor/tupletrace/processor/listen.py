"""Sockets to listen on, and the one way to say that an address cannot be had."""

import socket


class PortInUse(RuntimeError):
    """The address cannot be listened on."""


def bound(host: str, port: int, protocol: str) -> socket.socket:
    """Return a socket that is bound to an address, not yet listening.

    Raises:
        PortInUse: somebody else listens there, or the address is not this machine's.
    """
    made = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind((host.strip("[]"), port))
    except OSError as error:
        made.close()
        raise PortInUse(f"cannot listen on {host}:{port} ({protocol}): {error.strerror}") from None
    return made
