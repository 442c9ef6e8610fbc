"""`trunkline conformance` against backends in other languages: those that are shown, and one with faults."""
import json
import subprocess
import threading

import pytest
import websockets.sync.server
from peers import DEADLINE, TRUNKLINE


def conformance(port, *arguments):
    command = [TRUNKLINE, "conformance", "--backend", f"ws://127.0.0.1:{port}/", "--param", "lobby_id=7", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=4 * DEADLINE)


def test_the_examples_conform(example):
    done = conformance(example(), "--json")
    report = json.loads(done.stdout)
    assert done.returncode == 0 and report["passed"], done.stdout
    verdicts = {check["name"]: check["verdict"] for check in report["checks"]}
    assert verdicts.pop("binary") == "not_judged"
    assert set(verdicts.values()) == {"passed"} and len(verdicts) == 13, verdicts


def test_chats_that_wait_for_a_store_conform(store_chat):
    done = conformance(store_chat(), "--reopen-gap", "200ms")
    assert done.returncode == 0, done.stdout


def test_one_whose_store_is_slower_than_the_gap_loses_users(store_chat):
    done = conformance(store_chat(STORE_MS="200"), "--reopen-gap", "0s", "--only", "takeover", "--json")
    assert done.returncode == 1
    takeover = json.loads(done.stdout)["checks"][-1]
    assert takeover["name"] == "takeover" and [fault["fault"] for fault in takeover["faults"]] == ["user_lost"], takeover


@pytest.fixture
def careless():
    """One that trusts names to be plain, and says too much."""
    def serve(link):
        for frame in link:
            event = json.loads(frame)
            if event["event"] == "message":
                name = event["user"]["username"].lower().strip()
                link.send(json.dumps({"action": "send", "user": {"username": name}, "data": event["data"]}))
                link.send(json.dumps({"action": "tell", "text": "\x1b[2Jgotcha"}))

    server = websockets.sync.server.serve(serve, "127.0.0.1", 0)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.socket.getsockname()[1]
    server.shutdown()


def test_faults_are_named_with_the_frames_that_show_them(careless):
    done = conformance(careless, "--only", "names")
    assert done.returncode == 1
    assert done.stderr == "the backend does not conform\n"
    assert "WRONG names" in done.stdout and "names are compared byte for byte" in done.stdout
    assert '"username": "hasownproperty"' in done.stdout
    assert "there are only send and close" in done.stdout and "\x1b" not in done.stdout


def test_what_cannot_be_asked_for_is_said():
    done = subprocess.run([TRUNKLINE, "conformance", "--backend", "http://x/"], capture_output=True, text=True)
    assert done.returncode == 1 and "--backend" in done.stderr
    done = conformance(1, "--only", "nonsense")
    assert done.returncode == 2 and "takeover" in done.stderr
