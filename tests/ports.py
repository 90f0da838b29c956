"""Ports for servers that are told where to listen, and that are started again in the same place."""

import socket
import sys
from typing import Final

_HELD: Final[list[socket.socket]] = []


def free_port() -> int:
    """Name a port of this machine that is given to nobody else as long as this process lives.

    Linux lets a server bind a port that is bound here already, as long as nobody listens there and
    both say that they share the address. To a system that does not, the port is given back at once.
    """
    holder = socket.socket()
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    holder.bind(("127.0.0.1", 0))
    port = int(holder.getsockname()[1])
    if sys.platform == "linux":
        _HELD.append(holder)
    else:
        holder.close()
    return port
