"""Other processes for tests, to share a store or be killed: forked, which takes a millisecond."""

from __future__ import annotations

import os
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Callable
from itertools import count
from types import FrameType
from typing import NoReturn


def forked(work: Callable[[], object]) -> int:
    """The id of a process that does ``work`` and ends, with 1 where it raised."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forking beside threads
        pid = os.fork()
    if pid == 0:
        _work_and_exit(work)
    return pid


def exit_code(pid: int, timeout: float = 60) -> int:
    """How the process ended; one that does not end in time is killed."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.002)
    kill(pid)
    raise TimeoutError(f"process {pid} did not end in {timeout} s")


def killed_at_call(number: int, work: Callable[[], object]) -> bool:
    """Let a process do ``work`` and kill it at so many calls of functions in C, wherever that is;
    false when it was done before."""

    def killed() -> None:
        calls = count(1)

        def look(_: FrameType, event: str, __: object) -> None:
            if event == "c_call" and next(calls) == number:
                os.kill(os.getpid(), signal.SIGKILL)

        sys.setprofile(look)
        work()
        sys.setprofile(None)

    code = exit_code(forked(killed))
    if code not in (0, -signal.SIGKILL):
        raise RuntimeError(f"the process ended with {code}")
    return code != 0


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def _work_and_exit(work: Callable[[], object]) -> NoReturn:
    code = 1
    try:
        work()
        code = 0
    except BaseException:
        traceback.print_exc()
        raise
    finally:
        os._exit(code)
