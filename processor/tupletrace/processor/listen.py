"""Sockets to listen on, and the one way to say that an address cannot be had."""

import errno
import ipaddress
import socket
from typing import Final

_NOT_HERE: Final = {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}
_TRIES: Final = 20


class PortInUse(RuntimeError):
    """The address cannot be listened on."""


def bound(host: str, port: int, protocol: str) -> list[socket.socket]:
    """Return sockets that are bound, not yet listening, to every address of a host, all on one port.

    ``localhost`` is 127.0.0.1 and ::1, where the machine has both. Port 0: any that is free on all.

    Raises:
        PortInUse: somebody else listens there, or the address is not this machine's.
    """
    try:
        addresses = _addresses(host)
        for left in reversed(range(_TRIES)):
            try:
                return _bind(addresses, port)
            except OSError as error:
                # The free port of one address may be taken on the other.
                if port or not left or error.errno != errno.EADDRINUSE:
                    raise
    except OSError as error:
        raise PortInUse(f"cannot listen on {host}:{port} ({protocol}): {error.strerror}") from None
    raise AssertionError("the last try returns or raises")


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine alone."""
    try:
        return all(ipaddress.ip_address(address).is_loopback for _, address in _addresses(host))
    except OSError:
        return False


def written(bound_to: socket.socket, host: str) -> str:
    """Return ``HOST:PORT`` of a socket, with the host as the user wrote it."""
    return f"{host}:{bound_to.getsockname()[1]}"


def _addresses(host: str) -> list[tuple[socket.AddressFamily, str]]:
    if host == "localhost":
        # Whatever /etc/hosts says: a client may try either.
        return [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")]
    found = socket.getaddrinfo(host.strip("[]"), None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    # IPv4 first: it is there on every machine.
    return sorted({(family, str(address[0])) for family, _, _, _, address in found})


def _bind(addresses: list[tuple[socket.AddressFamily, str]], port: int) -> list[socket.socket]:
    made: list[socket.socket] = []
    refused: OSError | None = None
    for family, address in addresses:
        try:
            one = socket.socket(family)
            made.append(one)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family is socket.AF_INET6:
                one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            one.bind((address, port))
            port = one.getsockname()[1]
        except OSError as error:
            refused = error
            if made and made[-1].family is family:
                made.pop().close()
            if error.errno not in _NOT_HERE:
                break
    if made and (refused is None or refused.errno in _NOT_HERE):
        return made
    for one in made:
        one.close()
    raise refused or OSError(errno.EADDRNOTAVAIL, "the host has no address")
