"""A terminal that a test looks at and types into.

Screens are kept as text in the folder that OPENDEVAGENT_PICTURES names, if it does.
"""

import fcntl
import os
import pty
import select
import struct
import termios
import time

import pyte

PATIENCE = 60


class _Screen(pyte.Screen):
    """Answers what programs ask their terminal, and passes over what pyte does not know."""

    def __init__(self, columns, lines, master):
        super().__init__(columns, lines)
        self._master = master

    def write_process_input(self, data):
        os.write(self._master, data.encode())

    def report_device_attributes(self, mode=0, **_private):
        super().report_device_attributes(mode)

    def select_graphic_rendition(self, *attributes, **private):
        # `CSI > … m` sets how keys are reported, no colour.
        if not private:
            super().select_graphic_rendition(*attributes)


class Terminal:
    def __init__(self, command, columns=100, lines=30):
        self._pid, self._master = pty.fork()
        if self._pid == 0:
            os.environ["TERM"] = "xterm-256color"
            os.execvp(command[0], command)
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        self.screen = _Screen(columns, lines, self._master)
        self._stream = pyte.ByteStream(self.screen)

    def text(self):
        return "\n".join(line.rstrip() for line in self.screen.display).rstrip()

    def keep(self, name):
        """The screen as it is now, without empty lines at its end."""
        if folder := os.environ.get("OPENDEVAGENT_PICTURES"):
            os.makedirs(folder, exist_ok=True)
            with open(os.path.join(folder, name.replace(" ", "-") + ".txt"), "w") as screen:
                screen.write(self.text() + "\n")

    def press(self, keys):
        os.write(self._master, keys.encode())

    def read(self, seconds=0.05):
        """Takes in what the program draws; false when it has ended."""
        if self._drawing(seconds):
            try:
                self._stream.feed(os.read(self._master, 65536))
            except OSError:
                return False
        return True

    def _drawing(self, seconds):
        return bool(select.select([self._master], [], [], seconds)[0])

    def settle(self):
        """Waits until the program has drawn all it had to."""
        while self._drawing(0.2) and self.read():
            pass

    def wait(self, condition, what):
        end = time.monotonic() + PATIENCE
        while not condition():
            if time.monotonic() > end or not self.read():
                raise AssertionError(f"waited for {what}\n{self.text()}")

    def wait_for(self, words):
        self.wait(lambda: words in self.text(), repr(words))

    def ended(self):
        """Waits for the end; the exit status."""
        end = time.monotonic() + PATIENCE
        while self.read():
            assert time.monotonic() < end, f"waited for the end\n{self.text()}"
        return os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])
