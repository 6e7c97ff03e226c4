"""Ctrl-C at chosen lines of tinyclf, and at chosen moments."""

import signal
import sys
from pathlib import Path

import tinyclf

PACKAGE = str(Path(tinyclf.__file__).parent)


class _Trace:
    """A trace function that numbers the lines of tinyclf that run, and raises KeyboardInterrupt at some."""

    def __init__(self, at=()):
        self.at = set(at)
        self.lines = []

    def __call__(self, frame, event, argument):
        return self.line if frame.f_code.co_filename.startswith(PACKAGE) else None

    def line(self, frame, event, argument):
        if event == "line":
            self.lines.append((frame.f_code.co_filename, frame.f_lineno))
            if len(self.lines) in self.at:
                raise KeyboardInterrupt
        return self.line

    def go_on(self, frame, event, argument):
        """As a profile function, switch tracing on again: an exception in a trace function ends it."""
        if sys.gettrace() is None:
            sys.settrace(self)
            while frame is not None:
                frame.f_trace = self(frame, event, argument)
                frame = frame.f_back


def traced(call, at=()):
    """Run a call, with KeyboardInterrupt at lines of these numbers; return all lines and the exception."""
    trace, before, interrupt = _Trace(at), sys.gettrace(), None
    sys.settrace(trace)
    sys.setprofile(trace.go_on)
    try:
        call()
    except KeyboardInterrupt as error:
        interrupt = error  # with its traceback, which keeps the frames
    finally:
        sys.setprofile(None)
        sys.settrace(before)
    return trace.lines, interrupt


def moments(lines, every, modules=""):
    """The numbers of the first and the last run of every so many lines, of all modules or of these."""
    first, last = {}, {}
    for number, line in enumerate(lines, 1):
        if not modules or Path(line[0]).stem in modules.split():
            first.setdefault(line, number)
            last[line] = number
    return sorted({*first.values(), *last.values()})[::every]


def pressed(call, times):
    """Run a call, with KeyboardInterrupt whenever the timer fires, so many times; return the exception."""
    left = [times]

    def press(*_):
        if left[0] > 0:
            left[0] -= 1
            raise KeyboardInterrupt

    before, hook = signal.signal(signal.SIGALRM, press), sys.unraisablehook
    sys.unraisablehook = lambda *_: None  # pytest's hook would be interrupted, too
    try:
        try:
            call()
        finally:
            left[0] = 0
    except KeyboardInterrupt as error:
        return error
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        sys.unraisablehook = hook
    return None
