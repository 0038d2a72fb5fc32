"""Notes for OpenDevAgent how a Python process ends, which assertions of the workspace
failed in it and which lines ran.

Loaded by the interpreter before the program. Writes nothing to the program's streams and swallows its own
errors: a program must behave as if this file were not there. One JSON line when the process starts, one when
it has ended by itself; a process that was cut short (`os._exit`) leaves no second line.
"""


def _chain(here):
    """Imports the `sitecustomize` that this one hides, if there is one."""
    import sys

    sys.path[:] = [entry for entry in sys.path if entry != here]
    own = sys.modules.pop("sitecustomize", None)
    try:
        import sitecustomize  # noqa: F401
    except ImportError:
        sys.modules["sitecustomize"] = own


def _watch():
    import atexit
    import json
    import os
    import sys

    record = os.environ.get("OPENDEVAGENT_RECORD")
    root = os.environ.get("OPENDEVAGENT_ROOT")
    if not record or not root:
        return
    root = os.path.realpath(root) + os.sep
    pid = os.getpid()
    nested = "OPENDEVAGENT_NESTED" in os.environ
    os.environ["OPENDEVAGENT_NESTED"] = "1"
    executed = {}
    left = []
    raised = []

    def write(line):
        try:
            handle = os.open(record, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
            os.write(handle, (json.dumps(line) + "\n").encode())
            os.close(handle)
        except Exception:
            pass

    def inside(name, cache={}):
        known = cache.get(name)
        if known is None:
            full = "" if name.startswith("<") else os.path.abspath(name)
            known = cache[name] = full[len(root):] if full.startswith(root) else ""
        return known

    def end():
        if os.getpid() != pid:
            return
        lines = {path: sorted(numbers) for path, numbers in executed.items()}
        write({"end": pid, "nested": nested, "left": left, "raised": raised, "executed": lines if monitoring else None})

    def start(code, _offset):
        if inside(code.co_filename):
            monitoring.set_local_events(tool, code, events.LINE)
        return monitoring.DISABLE

    def line(code, number):
        executed.setdefault(inside(code.co_filename), set()).add(number)
        return monitoring.DISABLE

    def unwind(code, _offset, error):
        if code.co_name != "<module>" or not isinstance(error, SystemExit):
            return
        if sys._getframe(1).f_globals.get("__name__") != "__main__":
            return
        del left[:]
        trace = error.__traceback__
        while trace is not None:
            path = inside(trace.tb_frame.f_code.co_filename)
            if path:
                left.append([path, trace.tb_lineno])
            trace = trace.tb_next

    def failed(code, _offset, error):
        # The event comes again in every caller; an assertion is where the traceback has one entry.
        if not isinstance(error, AssertionError) or len(raised) >= 100:
            return
        path = inside(code.co_filename)
        if path and (error.__traceback__ is None or error.__traceback__.tb_next is None):
            raised.append([path, sys._getframe(1).f_lineno])

    monitoring = getattr(sys, "monitoring", None)
    if monitoring is not None:
        tool, events = 4, monitoring.events
        monitoring.use_tool_id(tool, "opendevagent")
        monitoring.register_callback(tool, events.PY_START, start)
        monitoring.register_callback(tool, events.LINE, line)
        monitoring.register_callback(tool, events.PY_UNWIND, unwind)
        monitoring.register_callback(tool, events.RAISE, failed)
        monitoring.set_events(tool, events.PY_START | events.PY_UNWIND | events.RAISE)
    write({"start": pid, "nested": nested})
    atexit.register(end)


try:
    import os as _os

    _chain(_os.path.dirname(_os.path.abspath(__file__)))
    _watch()
except Exception:
    pass
