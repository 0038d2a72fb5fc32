"""Checks server/deploy: the cluster's own schemas, and what a team relies on. Prints what is wrong, ends with 1 then."""

import json
import pathlib
import re
import sys

import jsonschema
import kubernetes_validate
import yaml

ROOT = pathlib.Path(__file__).parents[2]
DEPLOY = ROOT / "server/deploy"
# Kinds of an add-on, which the cluster's schemas do not hold: the fields that its documentation names.
KEDA = json.loads((pathlib.Path(__file__).parent / "keda.json").read_text())
# The first release in which a container may run beside another and end after it.
VERSION = "1.29"
wrong = []


def expect(condition, message):
    if not condition:
        wrong.append(message)


def manifests(path):
    return [(path.name, document) for document in yaml.safe_load_all(path.read_text()) if document]


def values(node, name):
    """Every value under a name, however deep."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key == name:
                yield value
            yield from values(value, name)
    elif isinstance(node, list):
        for value in node:
            yield from values(value, name)


files = sorted((DEPLOY / "kubernetes").glob("*.yaml"))
every = [pair for path in files for pair in manifests(path)]
by_name = {(document["kind"], document.get("metadata", {}).get("name")): document for _, document in every}

for name, document in every:
    if document["kind"] == "Kustomization":
        continue
    if document["apiVersion"].startswith("keda.sh/"):
        for error in jsonschema.Draft202012Validator(KEDA).iter_errors(document):
            wrong.append(f"{name}: {document['kind']}: {error.json_path}: {error.message}")
        continue
    try:
        kubernetes_validate.validate(document, VERSION, strict=True)
    except kubernetes_validate.ValidationError as error:
        wrong.append(f"{name}: {document['kind']}: {error.message}")

kustomization = next(document for _, document in every if document["kind"] == "Kustomization")
listed = set(kustomization["resources"]) | {"kustomization.yaml"}
expect(listed == {path.name for path in files}, f"kustomization.yaml lists {listed}")

worker = by_name["StatefulSet", "worker"]["spec"]["template"]["spec"]
expect(worker["runtimeClassName"] == "gvisor", "workers do not run under gVisor")
for forbidden in ("hostPath", "hostNetwork", "hostPID", "privileged"):
    expect(not any(values(worker, forbidden)), f"a worker's pod has {forbidden}")
for container in worker["initContainers"] + worker["containers"]:
    security = container["securityContext"]
    engine = container["name"] == "engine"
    expect(engine or security["capabilities"] == {"drop": ["ALL"]}, f"{container['name']} keeps capabilities")
    expect(engine or security["runAsNonRoot"], f"{container['name']} may be root")
    mounts = {mount["mountPath"] for mount in container["volumeMounts"]}
    expect("/run/engine" in mounts, f"{container['name']} does not see the engine")

scaled = by_name["ScaledObject", "worker"]["spec"]
target = tuple(scaled.get("scaleTargetRef", {}).get(part) for part in ("kind", "name"))
expect(target in by_name, f"{target} is scaled and not there")
trigger = scaled["triggers"][0]["metadata"]
reference = scaled["triggers"][0]["authenticationRef"]["name"]
expect(("TriggerAuthentication", reference) in by_name, f"{reference} is no TriggerAuthentication")
link = (ROOT / "server/link.rs").read_text()
prefix, kind = trigger["stream"].split(":")
expect('"{%s}:{kind}"' % prefix in link, f"{trigger['stream']} is no stream of the team's")
expect(f'key("{kind}")' in (ROOT / "server/sandbox/team/worker.rs").read_text(), f"no worker reads {kind}")

pods = {document["spec"]["template"]["metadata"]["labels"]["app.kubernetes.io/name"]
        for _, document in every if document["kind"] == "StatefulSet"}
for (kind, name), document in by_name.items():
    for selector in values(document.get("spec", {}), "podSelector"):
        label = selector.get("matchLabels", {}).get("app.kubernetes.io/name")
        expect(label is None or label in pods, f"{kind} {name} selects {label}, which is no pod")
denied = by_name["NetworkPolicy", "nothing"]["spec"]
expect(denied["podSelector"] == {} and "ingress" not in denied and "egress" not in denied, "something is not denied")

compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
services = compose["services"]
expect(not any("docker.sock" in volume for service in services.values() for volume in service.get("volumes", [])),
       "compose.yaml shares the host's socket")
expect(all(port.startswith("127.0.0.1:") for service in services.values() for port in service.get("ports", [])),
       "compose.yaml opens a port to the network")
expect(services["worker"]["cap_drop"] == ["ALL"] and services["worker"]["networks"] == ["store"],
       "compose.yaml's worker may do more than it needs")

environment = set(services["worker"]["environment"]) | {entry["name"] for found in values(worker, "env") for entry in found}
sources = "".join(path.read_text() for path in (ROOT / "server").rglob("*.rs"))
settings = re.findall(r"^\| `([\w.]+)` \|", (ROOT / "README.md").read_text(), re.MULTILINE)
known = {"OPENDEVAGENT_" + re.sub(r"\.|(?<=[a-z])(?=[A-Z])", "_", name).upper() for name in settings}
for name in environment - known:
    expect(f'"{name}"' in sources, f"{name} is no variable of a worker's")

print("\n".join(wrong) or f"{len(every)} manifests and compose.yaml are as they should be")
sys.exit(bool(wrong))
