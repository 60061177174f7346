"""How a failure of the author's code is shown: the trace to standard error, one line to the status pipe, a 500 without details to the caller."""

import os
import sys

from skerry_shim.status import escape

_SHIM = os.path.dirname(os.path.abspath(__file__)) + os.sep


class StartFailed(Exception):
    """The project cannot be started for a reason that is the whole story: no trace helps. The text is for the author."""


def print_trace(error):
    """The trace from the author's first frame on. The interpreter's own printer is used: `traceback` would cost its import in the first failing request."""
    trace = error.__traceback__
    while trace is not None and _is_ours(trace.tb_frame.f_code.co_filename):
        trace = trace.tb_next
    try:
        sys.__excepthook__(type(error), error.with_traceback(trace), trace)
        sys.stderr.flush()
    except Exception:  # An author may have closed or replaced standard error; a failure stays a failure without its trace.
        pass


def _is_ours(filename):
    return filename.startswith(_SHIM) or filename.startswith("<frozen importlib")


def one_line(error):
    """Exception type and message in one line, as the status pipe wants it."""
    if isinstance(error, StartFailed):
        return str(error)
    try:
        text = str(error).strip().partition("\n")[0]
    except Exception:
        text = ""
    name = type(error).__qualname__
    return f"{name}: {text}" if text else name


def error_body(request_id):
    return (
        '{"error":{"code":"function_error","message":"the function failed; see its log","request_id":"%s"}}'
        % escape(request_id.decode("latin-1"))
    ).encode("ascii")


ERROR_HEADERS = ((b"content-type", b"application/json"), (b"x-skerry-error", b"function_error"))
