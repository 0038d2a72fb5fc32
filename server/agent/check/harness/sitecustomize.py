"""Notes for OpenDevAgent how a Python process ends, which assertions of the workspace
failed in it, which lines ran, and the results of unittest, which writes no report.

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
    equals = []
    replaced = []

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
        lines = {path: sorted(numbers) for path, numbers in list(executed.items())}
        try:
            if tampered():
                replaced.append("tests")
        except Exception:
            pass
        write({"end": pid, "nested": nested, "left": left, "raised": raised, "equals": equals,
               "replaced": bool(replaced), "executed": lines if monitoring else None})

    def tampered():
        """Whether a function of the workspace stands in what tests are written with, or in the language's own names."""
        def foreign(value):
            value = getattr(value, "__func__", value)
            value = getattr(value, "fget", value)
            code = getattr(value, "__code__", None)
            return isinstance(code, type(foreign.__code__)) and bool(inside(code.co_filename))

        for name, module in list(sys.modules.items()):
            if name.split(".")[0] not in ("unittest", "pytest", "_pytest", "pluggy", "builtins", "atexit"):
                continue
            if inside(getattr(module, "__file__", None) or "<none>"):
                return True
            for value in list(vars(module).values()):
                if foreign(value):
                    return True
                if isinstance(value, type) and str(value.__module__).split(".")[0] == name.split(".")[0]:
                    if any(map(foreign, list(vars(value).values()))):
                        return True
        return foreign(sys.excepthook)

    def start(code, _offset):
        if inside(code.co_filename):
            equality = events.PY_RETURN if code.co_argcount == 2 or code.co_flags & 4 else 0
            monitoring.set_local_events(tool, code, events.LINE | equality)
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

    def equal(code, _offset, value):
        # Only what a comparison calls is looked at again.
        frame = sys._getframe(1)
        caller = frame.f_back
        if caller is None or caller.f_code.co_code[caller.f_lasti] != compare:
            return monitoring.DISABLE
        says_equal = not value if code.co_name == "__ne__" else bool(value)
        names = [frame.f_locals.get(name) for name in code.co_varnames[:2]]
        if len(names) == 1 and isinstance(names[0], tuple):
            names = list(names[0])
        if says_equal and len(names) == 2 and type(names[0]) is not type(names[1]) and len(equals) < 100:
            equals.append([inside(code.co_filename), code.co_firstlineno])

    monitoring = getattr(sys, "monitoring", None)
    if monitoring is not None:
        import opcode

        tool, events, compare = 4, monitoring.events, opcode.opmap["COMPARE_OP"]
        monitoring.use_tool_id(tool, "opendevagent")
        monitoring.register_callback(tool, events.PY_START, start)
        monitoring.register_callback(tool, events.LINE, line)
        monitoring.register_callback(tool, events.PY_UNWIND, unwind)
        monitoring.register_callback(tool, events.RAISE, failed)
        monitoring.register_callback(tool, events.PY_RETURN, equal)
        monitoring.set_events(tool, events.PY_START | events.PY_UNWIND | events.RAISE)
    write({"start": pid, "nested": nested})
    atexit.register(end)
    report = os.environ.get("OPENDEVAGENT_LINES")
    if report and not nested:
        sys.meta_path.insert(0, _Unittest(report, inside, replaced))


class _Unittest:
    """Counts what unittest runs, whoever starts it: wraps the results' own methods when they are loaded.

    Only a process that came to its end has a report.
    """

    def __init__(self, report, inside, replaced):
        self.report = report
        self.inside = inside
        self.replaced = replaced
        self.lines = []

    def find_spec(self, name, path=None, target=None):
        import sys

        if name != "unittest.result":
            return None
        sys.meta_path.remove(self)
        for finder in sys.meta_path:
            spec = finder.find_spec(name, path, target)
            if spec is not None:
                break
        else:
            return None
        if self.inside(spec.origin or "<none>"):
            self.replaced.append(name)
            return spec
        load = spec.loader.exec_module

        def loaded(module):
            load(module)
            try:
                self.wrap(module.TestResult)
            except Exception:
                pass

        spec.loader.exec_module = loaded
        return spec

    def wrap(self, result):
        import atexit

        outcomes = {
            "addSuccess": "pass", "addFailure": "fail", "addError": "fail", "addSkip": "skipped",
            "addExpectedFailure": "skipped", "addUnexpectedSuccess": "fail", "addSubTest": "fail",
        }
        for name, state in outcomes.items():
            setattr(result, name, self.noting(result, name, state))
        atexit.register(self.write, result)

    def noting(self, result, name, state):
        import functools
        import sys

        original = getattr(result, name)

        @functools.wraps(original)
        def wrapper(own, test, *rest):
            # A result of the program's own making is none.
            if self.inside(sys._getframe(1).f_code.co_filename):
                self.replaced.append(name)
            elif name != "addSubTest" or rest[-1] is not None:
                self.note(rest[0] if name == "addSubTest" else test, state, rest[-1] if rest else "")
            return original(own, test, *rest)

        wrapper.opendevagent = self
        return wrapper

    def note(self, test, state, cause):
        import sys
        import traceback

        name = getattr(test, "test_case", test).id()
        file = ""
        if name.startswith("unittest.loader._FailedTest."):
            # What could not be loaded is called by its last part alone.
            last = name.split(".", 3)[3]
            file = next((word for word in sys.argv if word.endswith("." + last)), last)
        elif name.endswith(")") and "(" in name:
            # `setUpClass (a.B)`: whatever is in it did not run.
            file = name[name.rindex("(") + 1:-1]
        message = detail = ""
        if isinstance(cause, tuple):
            message = str(cause[1]).strip() or cause[0].__name__
            detail = "".join(traceback.format_exception(*cause))
        self.lines.append({
            "file": file, "names": [] if file else [name], "state": state,
            "message": message[:8192], "detail": detail[-8192:],
        })

    def write(self, result):
        import json
        import os

        # Whoever runs the tests without these methods is not to be believed.
        if not self.lines or getattr(result.addFailure, "opendevagent", None) is not self:
            return
        text = "".join(json.dumps(line) + "\n" for line in self.lines)
        handle = os.open(self.report, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        os.write(handle, text.encode("utf-8", "replace"))
        os.close(handle)


try:
    import os as _os

    _chain(_os.path.dirname(_os.path.abspath(__file__)))
    _watch()
except Exception:
    pass
