#!/usr/bin/env python3
"""A language server for the client's specs: it says what a spec tells it to say.

The spec sends `test/say` with a message, which the server writes out as it is, and reads with
`test/heard` all messages that arrived; `test/rows` sets what it says of its tasks.
`opendevagent.fix` plays one whole task instead: events, progress, delivery as the client opted in
to, `workspace/applyEdit`, verdict.
"""

import json
import sys

heard = []
rows = []
options = {}
versions = {}
task = {}

VERDICT = {"level": "proven", "reason": "test_add failed before and passes now"}


def read():
    length = 0
    while (line := sys.stdin.buffer.readline().strip()) != b"":
        name, value = line.split(b":", 1)
        if name.lower() == b"content-length":
            length = int(value)
    return json.loads(sys.stdin.buffer.read(length)) if length else None


def say(message):
    body = json.dumps({"jsonrpc": "2.0", **message}).encode()
    sys.stdout.buffer.write(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
    sys.stdout.buffer.flush()


def event(kind, **fields):
    task["seq"] += 1
    params = {"task": task["id"], "seq": task["seq"], "at": 0, "kind": kind, **fields}
    say({"method": "opendevagent/event", "params": params})


def progress(**value):
    say({"method": "$/progress", "params": {"token": task["id"], "value": value}})


def fix(argument):
    """The file's whole text becomes `fixed`, if the user applies it."""
    task.update(id="task-1", seq=0, uri=argument["uri"])
    event("started", action="fix", title="Fix add.py")
    progress(kind="begin", title="Fix add.py", percentage=0)
    event("phase", phase="testing", percent=65)
    tests = {"run": 2, "passed": 1, "failed": 1}
    event("ran", stage="before", status="exit_nonzero", exit_code=1, tests=tests)
    progress(kind="report", message="testing", percentage=65)
    if options.get("client", {}).get("review"):
        file = {"uri": task["uri"], "before": "broken\n", "after": "fixed\n", "diff": ""}
        params = {"task": task["id"], "title": "Fix add.py", "verdict": VERDICT, "files": [file]}
        say({"id": "review", "method": "opendevagent/review", "params": params})
    else:
        actions = [{"title": title} for title in ("Apply", "Show diff", "Discard")]
        params = {"type": 3, "message": "Fix add.py (proven)", "actions": actions}
        say({"id": "message", "method": "window/showMessageRequest", "params": params})


def decided(answer):
    answer = answer or {}
    if "apply" not in (answer.get("decision"), answer.get("title", "").lower()):
        return ended()
    span = {"start": {"line": 0, "character": 0}, "end": {"line": 0, "character": 6}}
    document = {"uri": task["uri"], "version": versions[task["uri"]]}
    edits = [{"textDocument": document, "edits": [{"range": span, "newText": "fixed"}]}]
    params = {"label": "Fix add.py", "edit": {"documentChanges": edits}}
    say({"id": "apply", "method": "workspace/applyEdit", "params": params})


def ended():
    progress(kind="end", message="proven")
    event("ended", phase="complete", verdict=VERDICT, message="done")


def answer(message):
    method, params = message["method"], message.get("params")
    if method == "initialize":
        options.update(params["initializationOptions"])
        names = "plan generate fix tests review explain run apply discard showDiff cancel".split()
        commands = ["opendevagent." + name for name in names]
        return {
            "capabilities": {
                "positionEncoding": "utf-16",
                "textDocumentSync": {"openClose": True, "change": 2, "save": True},
                "executeCommandProvider": {"commands": commands},
            }
        }
    if method == "workspace/executeCommand":
        return {"task": "task-1"}
    if method == "test/heard":
        return heard
    if method == "opendevagent/setKey":
        return {"ok": False, "message": "the key was refused"}
    if method == "opendevagent/tasks":
        return rows
    if method == "opendevagent/doctor":
        return {"checks": [{"name": "docker", "ok": False, "message": "off", "remedy": "start it"}]}
    return None


while (message := read()) is not None:
    heard.append(message)
    method = message.get("method")
    if method in ("textDocument/didOpen", "textDocument/didChange"):
        document = message["params"]["textDocument"]
        versions[document["uri"]] = document["version"]
    elif method == "exit":
        break
    elif method == "test/rows":
        rows = message["params"]["rows"]
    elif method == "test/say":
        say(message["params"])
    elif method is None and message["id"] in ("review", "message"):
        decided(message.get("result"))
    elif method is None and message["id"] == "apply":
        ended()
    if method and "id" in message:
        say({"id": message["id"], "result": answer(message)})
    if method == "workspace/executeCommand" and message["params"]["command"] == "opendevagent.fix":
        fix(message["params"]["arguments"][0])
