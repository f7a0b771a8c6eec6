"""Runs the text of a program in a fork of this process, which has imported torch; a new process needs seconds to."""

import os
import subprocess
import sys
import tempfile
import traceback

import torch._dynamo  # noqa: F401  (torch's optimisers import it, in two seconds; so forks need not)


def start(program, *arguments, stdin=None, stdout=None, stderr=None):
    """Starts the program with files as its streams, and returns the number of its process."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        for number, file in enumerate((stdin, stdout, stderr)):
            if file is not None:
                os.dup2(file.fileno(), number)
        sys.stdin, sys.stdout, sys.stderr = (open(number, mode) for number, mode in enumerate("rww"))  # noqa: SIM115
        sys.argv = ["-c", *map(str, arguments)]
        exec(compile(program, "program", "exec"), {"__name__": "__main__"})
        status = 0
    except SystemExit as stop:
        status = stop.code or 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def status_of(child):
    """The exit status of a process that was started, once it has ended; that of a signal is negative."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def run(program, *arguments):
    """Runs a program; returns what `subprocess.run` returns, with the text of both streams."""
    with tempfile.TemporaryFile("w+") as stdout, tempfile.TemporaryFile("w+") as stderr:
        status = status_of(start(program, *arguments, stdout=stdout, stderr=stderr))
        texts = []
        for file in (stdout, stderr):
            file.seek(0)
            texts.append(file.read())
        return subprocess.CompletedProcess(program, status, *texts)
