"""A window that a test looks at and presses as a screen reader does.

Pictures of it are kept in the folder that OPENDEVAGENT_PICTURES names, if it does. Wants a display and a D-Bus session
of its own.
"""

import os
import subprocess
import time

import gi

gi.require_version("Atspi", "2.0")
from gi.repository import Atspi, GLib  # noqa: E402

PATIENCE = 60
SOON = 3


class Window:
    def __init__(self, command):
        # The bus has to be there before the program looks for it.
        Atspi.get_desktop(0).get_child_count()
        self._program = subprocess.Popen(command, env={**os.environ, "QT_LINUX_ACCESSIBILITY_ALWAYS_ON": "1"})

    def __enter__(self):
        return self

    def __exit__(self, *_failure):
        self._program.terminate()
        self._program.wait()

    def find(self, role, words):
        """The first element of this role whose name has these words; None while there is none."""
        return next((each for each in _elements() if _is(each, role, words)), None)

    def wait(self, condition, what):
        end = time.monotonic() + PATIENCE
        while not (found := condition()):
            if self._program.poll() is not None or time.monotonic() > end:
                self.keep("failed")
                raise AssertionError(f"waited for {what}; there is\n{described()}")
            time.sleep(0.2)
        return found

    def is_soon_there(self, role, words):
        end = time.monotonic() + SOON
        while not (found := self.find(role, words)) and time.monotonic() < end:
            time.sleep(0.2)
        return found is not None

    def wait_for(self, role, words):
        return self.wait(lambda: self.find(role, words), f"{role} {words!r}")

    def keep(self, name):
        """What is on the display now."""
        if folder := os.environ.get("OPENDEVAGENT_PICTURES"):
            os.makedirs(folder, exist_ok=True)
            command = ["import", "-window", "root", "-trim", os.path.join(folder, name + ".png")]
            subprocess.run(command, check=True)

    def ended(self):
        """Waits for the end; the exit status."""
        return self._program.wait(PATIENCE)


def press(element, action="Press"):
    names = [element.get_action_name(index) for index in range(element.get_n_actions())]
    element.do_action(names.index(action))


def is_showing(element):
    return element.get_state_set().contains(Atspi.StateType.SHOWING)


def type_key(symbol):
    Atspi.generate_keyboard_event(symbol, None, Atspi.KeySynthType.SYM)


def described():
    """All that has a name, for the one who has to find out why a test failed."""
    return "\n".join(f"{each.get_role_name()}: {each.get_name()}" for each in _elements() if each.get_name())


def _is(element, role, words):
    try:
        return element.get_role_name() == role and words in element.get_name()
    except GLib.Error:
        return False  # It has gone meanwhile.


def _elements():
    # Programs that came or went are told of in messages.
    while GLib.MainContext.default().iteration(False):
        pass
    return _below(Atspi.get_desktop(0))


def _below(element):
    try:
        children = [element.get_child_at_index(index) for index in range(element.get_child_count())]
    except GLib.Error:
        return
    for child in filter(None, children):
        yield child
        yield from _below(child)
