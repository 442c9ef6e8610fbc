import sys

import peers
import pytest


@pytest.fixture
def gateway(tmp_path):
    """Starts gateways. In every test the log of each must be JSON, and free of tokens and contents."""
    started = []

    def start(*arguments, **options):
        started.append(peers.Gateway(tmp_path, *arguments, **options))
        return started[-1]

    yield start
    for gateway in started:
        gateway.kill()
    for gateway in started:
        print("\n".join(gateway.lines))  # Shown where a test fails.
        peers.check_log(gateway)


@pytest.fixture
def node_backend():
    """Starts backends in Node."""
    started = []

    def start(port=0):
        started.append(peers.NodeBackend(port))
        return started[-1]

    yield start
    for backend in started:
        backend.stop()


@pytest.fixture(params=["node", "python"])
def backend(request):
    """A backend that does as it is told: once in each language."""
    backend = peers.NodeBackend() if request.param == "node" else peers.PythonBackend()
    yield backend
    backend.stop()


def chats(file):
    """Starts chats from this file; what starting one gives is its port."""
    started = []

    def start(**env):
        program = "node" if file.endswith(".js") else sys.executable
        process = peers.Process([program, peers.ROOT / file, 0], stream="stdout", env=env)
        started.append(process)
        return int(process.line(lambda line: line.startswith("listening on")).split()[-1])

    yield start
    for process in started:
        process.kill()


@pytest.fixture(params=["docs/examples/backend.js", "docs/examples/backend.py"])
def example(request):
    """Starts the backends that docs/backends.md shows, as they are."""
    yield from chats(request.param)


@pytest.fixture(params=["tests/peers/store_chat.js", "tests/peers/store_chat.py"])
def store_chat(request):
    """Starts backends whose events wait for a store, each call for STORE_MS, and are handled concurrently."""
    yield from chats(request.param)
