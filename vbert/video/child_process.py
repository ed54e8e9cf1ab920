"""A child process that one module's `serve` runs in, and the messages between it and its parent.

Messages are pickles on a socket that the two alone hold, with large arrays beside them as plain bytes. The
child is not multiprocessing's, which would run the user's own script again in it.
"""

import gc
import importlib
import os
import pickle
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import traceback
import weakref
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np

START_SECONDS = 300.0  # from a cold network disk; what takes longer will not start at all
EXIT_SECONDS = 10.0  # from the end of its messages to its own
LENGTH = struct.Struct("!Q")
READY = "ready"


class ChildLost(Exception):
    """The child died, or was given up because it was late; the message says of what."""

    def __init__(self, reason: str, *, is_late: bool = False) -> None:
        super().__init__(reason)
        self.is_late = is_late


class Child:
    """A running child, and our end of the socket. It ends with this object or process."""

    def __init__(
        self,
        name: str,
        module: str,
        arguments: Sequence[str] = (),
        *,
        num_threads: int | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Run `module.serve`, for which `arguments` are sys.argv[2:]. Errors speak of "the `name`". Its
        environment is this process's, unless another is given."""
        self._name = name
        self._socket, theirs = socket.socketpair()
        # It finds what this process finds.
        told = dict(os.environ if environment is None else environment)
        told["PYTHONPATH"] = os.pathsep.join(sys.path)
        if num_threads is not None:
            told["OMP_NUM_THREADS"] = str(num_threads)
        with theirs:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-P", "-c", f"from {__name__} import run; run('{module}')"),
                    *(str(theirs.fileno()), *arguments),
                ],
                stdin=subprocess.PIPE,  # nothing is written: it is open as long as this process is
                pass_fds=[theirs.fileno()],
                env=told,
            )
        self.end = weakref.finalize(self, _end, self._process, self._socket)
        try:
            word = self.receive(time.monotonic() + START_SECONDS, f"not ready after {START_SECONDS:g} s")
        except ChildLost as lost:
            raise RuntimeError(f"the {name}'s process does not start: {lost}") from lost
        if word != READY:
            raise RuntimeError(f"the {name}'s process does not start: {word}")

    def is_alive(self) -> bool:
        """Whether it still runs."""
        return self._process.poll() is None

    def send(self, message: object) -> None:
        """Raises ChildLost."""
        self._socket.settimeout(None)
        try:
            send(self._socket, message)
        except ConnectionError as error:
            raise self._lost() from error

    def receive(self, deadline: float | None = None, late: str = "") -> Any:
        """The next message. Raises ChildLost; `late` is what it says after the deadline."""
        try:
            return receive(self._socket, deadline)
        except TimeoutError as error:
            raise ChildLost(late, is_late=True) from error
        except (EOFError, ConnectionError) as error:
            raise self._lost() from error

    def _lost(self) -> ChildLost:
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(EXIT_SECONDS)
        status = self._process.poll()
        if status is not None and status < 0:
            names = {known.value: known.name for known in signal.Signals}
            return ChildLost(f"the {self._name} died of signal {-status} ({names.get(-status, 'unnamed')})")
        return ChildLost(f"the {self._name}'s process ended with exit status {status}")


def _end(process: "subprocess.Popen[bytes]", connection: socket.socket) -> None:
    connection.close()
    process.kill()
    with suppress(subprocess.TimeoutExpired):  # one that waits for a disk that is gone cannot even be killed
        process.wait(EXIT_SECONDS)
    assert process.stdin is not None  # it is a pipe
    process.stdin.close()


def run(module: str) -> None:
    """In a child: `module.serve` with the socket to the parent, with whom this process ends. What is in the
    way of that is told to the parent, whose error it is."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # at a terminal it is meant for the job, which ends this
    with socket.socket(fileno=int(sys.argv[1])) as connection:
        try:
            threading.Thread(target=_end_with_the_parent, daemon=True).start()
            gc.disable()  # what is imported stays, and is not looked through while it comes
            serve = importlib.import_module(module).serve
            gc.enable()
        except Exception:
            send(connection, traceback.format_exc())
            raise
        send(connection, READY)
        serve(connection)


def _end_with_the_parent() -> None:
    """Even while a decoder hangs."""
    os.read(0, 1)  # not sys.stdin, whose lock would be held when the process ends by itself
    os._exit(0)


def send(connection: socket.socket, message: object) -> None:
    """How many lengths there are, the lengths, the pickle, and the bytes of its arrays."""
    buffers: list[pickle.PickleBuffer] = []
    pickled = pickle.dumps(message, protocol=5, buffer_callback=buffers.append)
    parts = [memoryview(pickled), *(buffer.raw() for buffer in buffers)]
    header = b"".join(LENGTH.pack(number) for number in [len(parts), *(part.nbytes for part in parts)])
    connection.sendall(header + pickled)
    for part in parts[1:]:
        connection.sendall(part)


def receive(connection: socket.socket, deadline: float | None = None) -> Any:
    """Raises EOFError where the other end is closed, TimeoutError at `deadline` (of time.monotonic)."""
    (num_parts,) = LENGTH.unpack(_read(connection, LENGTH.size, deadline))
    lengths = [size for (size,) in LENGTH.iter_unpack(_read(connection, LENGTH.size * num_parts, deadline))]
    pickled, *buffers = [_read(connection, size, deadline) for size in lengths]
    return pickle.loads(pickled, buffers=buffers)  # nosec B301


def _read(connection: socket.socket, size: int, deadline: float | None) -> memoryview:
    data = np.empty(size, np.uint8).data  # not bytearray, which would be set to 0 first
    rest = data
    while rest:
        if deadline is not None:
            # Not 0, which would mean not to wait; what is there at the deadline is still taken.
            connection.settimeout(max(1e-3, deadline - time.monotonic()))
        num_read = connection.recv_into(rest)
        if num_read == 0:
            raise EOFError
        rest = rest[num_read:]
    return data
