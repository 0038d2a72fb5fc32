"""A user of Kate: run the file, fix what it said, apply the proposal, save.

kate.py FILE, with `opendevagent` on PATH and Kate's settings in HOME.
"""

import sys

from window import Window, is_showing, press, type_key

ESCAPE = 0xFF1B

with Window(["kate", "--block", "--new", *sys.argv[1:]]) as window:

    def text():
        return window.wait_for("text", "mean.py").get_text(0, -1)

    def choose(title):
        """Takes a code action as soon as it is offered."""
        entry = window.wait(lambda: offered(title), f"a code action {title!r}")
        window.keep("kate-" + title.split(":")[0].lower().replace(" ", "-"))
        press(entry)
        close_menus()

    def offered(title):
        # Kate asks the server each time that the menu is opened; while that only starts, the menu stays empty.
        press(window.find("menu item", "LSP Client"), "ShowMenu")
        press(window.find("menu item", "Code Action"), "ShowMenu")
        window.is_soon_there("menu item", "Explain")
        return window.find("menu item", title) or close_menus()

    def close_menus():
        # Pressed in this way, an entry leaves its menu open.
        def closed():
            type_key(ESCAPE)
            return not is_showing(window.find("menu item", "Code Action"))

        window.wait(closed, "the menus to close")

    def problem():
        # What the server says opens the view of messages over this one.
        press(window.find("menu item", "Switch to Diagnostics Tab"))
        return window.find("table cell", "NameError")

    window.wait_for("label", "Do you want the LSP server to be started?")
    window.keep("kate-asks")
    press(window.find("push button", "Yes"))
    choose("Run in sandbox")
    window.wait(problem, "what the run found")
    window.find("text", "mean.py").set_caret_offset(text().index("numbrs"))
    choose("Fix failing check")
    # Kate does not say that it can ask, so the proposal waits among the actions.
    choose("Apply: ")
    window.wait(lambda: "len(numbers)" in text(), "the applied fix")
    window.keep("kate-applied")
    press(window.find("menu item", "Save"))
    press(window.find("menu item", "Quit"))
    sys.exit(window.ended())
