"""What a process gives up before it opens files that strangers have made: rights that no decoder wants.

By Linux's prctl and seccomp alone (man 2 seccomp): on other systems, and on kernels without them, nothing is
given up.
"""

import ctypes
import platform
import re
import struct
import sys
from collections.abc import Mapping

# What is told of an environment: where Python and libraries are, the language, the threads. All else may be a
# credential.
TOLD = re.compile(
    r"PATH|HOME|USER|TMPDIR|TZ|LANG|LANGUAGE|LC_[A-Z]+|PYTHON[A-Z0-9]+|VIRTUAL_ENV|CONDA_PREFIX"
    r"|LD_LIBRARY_PATH|LD_PRELOAD|DYLD_LIBRARY_PATH|(OMP|MKL|OPENBLAS)_NUM_THREADS|MALLOC_ARENA_MAX"
    r"|CUDA_VISIBLE_DEVICES"
)

PR_SET_NO_NEW_PRIVS = 38
SET_MODE_FILTER, TSYNC = 1, 1  # of the call seccomp: all threads get the filter
# Classic BPF over struct seccomp_data: int number; u32 architecture; ...
LOAD, JUMP_IF_EQUAL, JUMP_IF_AT_LEAST, RETURN = 0x20, 0x15, 0x35, 0x06
ALLOW, REFUSE = 0x7FFF0000, 0x00050001  # SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO | EPERM
X32 = 0x40000000  # the first number of another set of the same calls

# Starting programs; sockets that it was not given; other processes' memory and files; ways around the filter.
# Numbers of x86_64 (asm/unistd_64.h), and of aarch64 (asm-generic/unistd.h).
FORBIDDEN = {
    "execve": (59, 221),
    "execveat": (322, 281),
    "socket": (41, 198),
    "socketpair": (53, 199),
    "bind": (49, 200),
    "listen": (50, 201),
    "accept": (43, 202),
    "accept4": (288, 242),
    "connect": (42, 203),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "process_madvise": (440, 440),
    "pidfd_open": (434, 434),
    "pidfd_getfd": (438, 438),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "keyctl": (250, 219),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "mount": (165, 40),
    "unshare": (272, 97),
    "setns": (308, 268),
}
# The machine by Python's name -> AUDIT_ARCH_*, the number of the call seccomp, the column above.
ARCHITECTURES = {"x86_64": (0xC000003E, 317, 0), "aarch64": (0xC00000B7, 277, 1)}


class _Program(ctypes.Structure):
    """struct sock_fprog."""

    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def without_credentials(environment: Mapping[str, str]) -> dict[str, str]:
    """What of an environment a process is told that opens local files."""
    return {name: value for name, value in environment.items() if TOLD.fullmatch(name)}


def renounce_privileges() -> None:
    """From here on nothing that this process starts has more rights than it has, as by a set-user-id bit."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def confine() -> bool:
    """From here on this process, with all its threads, starts no program, opens no socket and touches no
    other process's memory: such calls fail with EPERM. Whether the system knows how."""
    renounce_privileges()
    if sys.platform != "linux" or platform.machine() not in ARCHITECTURES:
        return False
    architecture, seccomp, column = ARCHITECTURES[platform.machine()]
    code = _filter(architecture, [numbers[column] for numbers in FORBIDDEN.values()])
    held = ctypes.create_string_buffer(code, len(code))
    program = _Program(len(code) // 8, ctypes.addressof(held))
    done: int = ctypes.CDLL(None).syscall(seccomp, SET_MODE_FILTER, TSYNC, ctypes.byref(program))
    return done == 0


def _filter(architecture: int, forbidden: list[int]) -> bytes:
    """Allow what is not forbidden, of this architecture alone."""
    num_checks = len(forbidden)
    lines = [
        (LOAD, 0, 0, 4),
        (JUMP_IF_EQUAL, 0, num_checks + 3, architecture),  # or it is refused
        (LOAD, 0, 0, 0),
        (JUMP_IF_AT_LEAST, num_checks + 1, 0, X32),
        *((JUMP_IF_EQUAL, num_checks - at, 0, number) for at, number in enumerate(forbidden)),
        (RETURN, 0, 0, ALLOW),
        (RETURN, 0, 0, REFUSE),
    ]
    return b"".join(struct.pack("=HBBI", *line) for line in lines)
