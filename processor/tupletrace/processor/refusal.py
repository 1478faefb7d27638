"""Why a request is refused, in the terms of both transports."""

from typing import ClassVar


class Refused(Exception):
    """A request that is not accepted; ``reason`` labels it in the metrics, the message is for the sender."""

    grpc: ClassVar[int]
    """The code of ``google.rpc.Code``."""
    http: ClassVar[int]
    reason: ClassVar[str]


class MalformedRequest(Refused, ValueError):
    """The body is not a request of its signal. Sent again it would be refused again."""

    grpc, http, reason = 3, 400, "malformed"


class TooDeep(MalformedRequest):
    """Values are nested deeper than is read."""

    reason = "too_deep"


class Unsupported(Refused):
    """A content type or an encoding that is not understood."""

    grpc, http, reason = 3, 415, "unsupported"


class TooLarge(Refused):
    """More bytes or more objects than a request may have: not retryable, it carries no RetryInfo."""

    grpc, http, reason = 8, 413, "too_large"


class TooManyObjects(TooLarge):
    """More spans, attributes, values than are held in memory at once."""

    reason = "too_many_objects"


class TooSlow(Refused):
    """The body did not arrive in time."""

    grpc, http, reason = 4, 408, "too_slow"


class Cancelled(Refused):
    """The client went away; nobody is told."""

    grpc, http, reason = 1, 499, "cancelled"


class Unauthenticated(Refused):
    """No token, or one that is not known."""

    grpc, http, reason = 16, 401, "unauthenticated"


class Forbidden(Refused):
    """A token without the scope, a host or an origin that is not allowed."""

    grpc, http, reason = 7, 403, "forbidden"


class Unavailable(Refused):
    """Not now: nothing was kept, and the sender should send it again."""

    grpc, http, reason = 14, 503, "unavailable"


class Overloaded(Unavailable):
    """As many bytes are under way as may be held."""

    reason = "overloaded"


class DiskReserve(Unavailable):
    """The disk has less free than is kept in reserve."""

    reason = "disk_reserve"
