"""The end of whoever started the agent is the end of the agent.

They hold its standard input open and write nothing. When that end closes, with SIGKILL for example, the kernel kills
the agent, in the middle of a model that never ends too: no thread watches, nothing disturbs what is measured.
"""

import os
import stat

F_SETSIG = 10
"""Linux: which signal O_ASYNC sends. Source: include/uapi/asm-generic/fcntl.h; the fcntl module does not name it."""
SIGKILL = 9


def follow_host() -> None:
    """From here on this process, and its group where it leads one, is killed as soon as standard input closes; nothing
    happens where that is no pipe, or on a system that cannot do this."""
    try:
        import fcntl

        if not stat.S_ISFIFO(os.fstat(0).st_mode):
            return
        own = os.getpid()
        fcntl.fcntl(0, fcntl.F_SETOWN, -own if os.getpgrp() == own else own)
        fcntl.fcntl(0, F_SETSIG, SIGKILL)
        fcntl.fcntl(0, fcntl.F_SETFL, fcntl.fcntl(0, fcntl.F_GETFL) | os.O_ASYNC | os.O_NONBLOCK)
        gone = not os.read(0, 1)  # it may have closed before the kernel was told
    except (ImportError, AttributeError, OSError):  # BlockingIOError too: it is open
        return
    if gone:
        os._exit(SIGKILL)
