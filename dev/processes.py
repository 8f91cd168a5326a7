"""Runs child processes that do not outlive the command that started them."""

import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

import psutil

from dev.signals import STOP_SIGNALS
from dev.workspace import ROOT


class ProcessFailed(Exception):
    """A child process did not start, or ended by itself. The message says which and why."""


@contextmanager
def running(
    pid_file: Path,
    command: Sequence[str | Path],
    *,
    log: Path | None = None,
    env: Mapping[str, str] | None = None,
    user: tuple[int, int] | None = None,
    stop_signal: signal.Signals = signal.SIGTERM,
) -> Iterator[psutil.Popen]:
    """Run a command until the block ends.

    A process that a killed earlier run left behind is ended first. The child gets a session of its
    own, so that a Ctrl-C in the terminal reaches only us, and we stop the children in order. Call
    it from the main thread, where signals are handled.

    Args:
        pid_file: records the process for the next run.
        log: the file to which its output is appended; None means our own output.
        user: user and group id to run as.
        stop_signal: the signal that asks the process to end.
    """
    end_leftover(pid_file)
    process = None
    with ExitStack() as stack:
        output = stack.enter_context(log.open("ab")) if log else None
        try:
            with _signals_held():
                process = _start(command, output, env, user)
                pid_file.write_text(f"{process.pid} {process.create_time()}")
            yield process
        finally:
            if process is not None:
                end(process, stop_signal)
                pid_file.unlink(missing_ok=True)


def _start(
    command: Sequence[str | Path],
    output: BinaryIO | None,
    env: Mapping[str, str] | None,
    user: tuple[int, int] | None,
) -> psutil.Popen:
    uid, gid = user or (None, None)
    return psutil.Popen(
        [str(part) for part in command],
        cwd=ROOT,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        user=uid,
        group=gid,
        extra_groups=[] if user else None,
        start_new_session=True,
    )


def end(process: psutil.Process, stop_signal: signal.Signals = signal.SIGTERM) -> None:
    """Ask a process to end, wait up to 30 s, then kill it and its group."""
    with suppress(psutil.NoSuchProcess):
        process.send_signal(stop_signal)
    wait_for_end(process, 30)
    kill(process)


def kill(process: psutil.Process) -> None:
    """Kill a process and the group that it leads, at once."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    wait_for_end(process, 10)


def wait_for_end(process: psutil.Process, seconds: float) -> bool:
    """Wait until a process has ended. Returns False if it has not after so many seconds.

    A zombie counts as ended: a container's first process may never reap the orphans it inherits.
    """
    deadline = time.monotonic() + seconds
    with suppress(psutil.NoSuchProcess):
        while process.status() != psutil.STATUS_ZOMBIE:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
    if isinstance(process, psutil.Popen):
        process.wait(timeout=10)  # reaps it, once its last thread has ended too
    return True


def end_leftover(pid_file: Path) -> None:
    """End the process that an earlier run recorded in this file, if it still runs."""
    try:
        pid, created = pid_file.read_text().split()
        process = psutil.Process(int(pid))
    except (FileNotFoundError, ValueError, psutil.NoSuchProcess):
        return
    # The id may be another process's by now. The clock may have been adjusted by a second.
    if abs(process.create_time() - float(created)) < 2:
        end(process, signal.SIGINT)


def wait_until(
    ready: Callable[[], bool], process: psutil.Popen, name: str, log: Path | None = None
) -> None:
    """Wait until a process that was just started answers.

    Raises:
        ProcessFailed: it ended, or it does not answer after 30 s.
    """
    deadline = time.monotonic() + 30
    while not ready():
        if process.poll() is not None:
            raise ProcessFailed(f"{name} ended with status {process.returncode}.{_tail(log)}")
        if time.monotonic() > deadline:
            raise ProcessFailed(f"{name} does not answer after 30 seconds.{_tail(log)}")
        time.sleep(0.02)


def free_port() -> int:
    """A free TCP port, outside the range that the system uses for outgoing connections."""
    for port in random.sample(range(20_000, 32_000), 100):
        if is_free(port):
            return port
    raise ProcessFailed("no free TCP port between 20000 and 32000")


def is_free(port: int) -> bool:
    """Whether a server could listen on this TCP port now."""
    with socket.socket() as probe:
        # As servers do: lingering connections of an earlier server are no obstacle.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except OSError:
            return False
        return True


@contextmanager
def _signals_held() -> Iterator[None]:
    """Defer stop signals, so that none comes between the start of a process and its pid file."""
    held: list[int] = []
    before = {
        number: signal.signal(number, lambda caught, _: held.append(caught))
        for number in STOP_SIGNALS
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    for caught in held:
        signal.raise_signal(caught)


def _tail(log: Path | None) -> str:
    if log is None:
        return ""
    return "\n" + "\n".join(log.read_text(errors="replace").splitlines()[-10:])
