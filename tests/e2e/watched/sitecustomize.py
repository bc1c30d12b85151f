"""Python imports this before anything else where its folder is on PYTHONPATH: who is spoken to goes into a file."""

import os
import sys

_WATCHED = {
    "socket.connect": 1,  # event -> which argument says who
    "socket.sendto": 1,
    "socket.sendmsg": 1,
    "socket.getaddrinfo": 0,
    "socket.gethostbyname": 0,
    "socket.gethostbyaddr": 0,
}


def _watch(event: str, arguments: tuple[object, ...]) -> None:
    if event not in _WATCHED:
        return
    whom = arguments[_WATCHED[event]]
    host = whom[0] if isinstance(whom, tuple) else whom
    line = f"{os.path.basename(sys.argv[0])} {event} {host!s}\n".encode()  # noqa: PTH119 - pathlib is not imported yet
    file = os.open(os.environ["WATCHED_SOCKETS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, line)
    os.close(file)


sys.addaudithook(_watch)
