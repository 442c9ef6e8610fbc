"""The gateway as a process: how it stops, how it is killed, what it logs."""
import json
import signal

import pytest
from peers import CONTENT, SECRET, close_of, lobby, recv, token
from websockets.exceptions import ConnectionClosed, InvalidStatus

SHORT_DRAIN = 'drain.time = "300ms"'
LONG_DRAIN = 'drain.time = "1h"'


def test_sigterm_drains(backend, gateway):
    trunkline = gateway(lobby(backend.port), SHORT_DRAIN)
    clients = [trunkline.connect(f"user-{number}") for number in range(5)]
    for number in range(5):
        backend.expect(("open", f"user-{number}"))
    trunkline.signal(signal.SIGTERM)
    assert {close_of(client)[:2] == ([], 1001) for client in clients} == {True}
    assert {backend.event() for _ in range(5)} == {("close", f"user-{number}") for number in range(5)}
    assert backend.closed()[0] == 1001
    assert trunkline.wait() == 0


def test_one_who_comes_while_it_drains_is_refused(backend, gateway):
    trunkline = gateway(lobby(backend.port), LONG_DRAIN)
    for user in ["ann", "bob"]:
        trunkline.connect(user)
        backend.expect(("open", user))
    trunkline.signal(signal.SIGTERM)
    trunkline.log("draining")
    with pytest.raises(InvalidStatus) as refused:
        trunkline.connect("cid")
    assert refused.value.response.status_code == 503
    assert int(refused.value.response.headers["Retry-After"]) > 0


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_the_second_signal_ends_it_at_once(second, node_backend, gateway):
    backend = node_backend()
    trunkline = gateway(lobby(backend.port), LONG_DRAIN)
    for user in ["ann", "bob", "cid"]:
        trunkline.connect(user)
        backend.expect(("open", user))
    trunkline.signal(signal.SIGTERM)
    trunkline.log("draining")
    trunkline.signal(second)
    assert trunkline.wait() == 1
    assert trunkline.lines.pop() == "stopped at once", "for the person who has pressed Ctrl-C twice"


def test_one_that_was_killed_comes_back(backend, gateway):
    trunkline = gateway(lobby(backend.port))
    ann = trunkline.connect("ann")
    backend.expect(("open", "ann"))
    trunkline.signal(signal.SIGKILL)
    with pytest.raises(ConnectionClosed) as closed:
        recv(ann)
    assert closed.value.rcvd is None
    assert backend.closed()[0] == 1006
    again = gateway(lobby(backend.port), listen=trunkline.address)
    ann = again.connect("ann")
    backend.expect(("open", "ann"))
    backend.act("send", "ann", data="welcome back")
    assert recv(ann) == "welcome back"


def test_the_log_tells_no_secrets_and_takes_no_forgery(backend, gateway):
    trunkline = gateway(lobby(backend.port, tokens=(
        f'algorithms = ["HS256"]\nsecret = "{SECRET}"\nsources = ["header", "query:token"]')))
    name = 'ann\n{"level":"ERROR","message":"forged"}\x1b[31m\u2028'
    ann = trunkline.connect(name, f"/lobby/7?token={token('other')}")
    ann.send(CONTENT)
    backend.expect(("open", name), ("message", name, CONTENT))
    backend.act("send", name, data=CONTENT)
    backend.act("send", "nobody", data=CONTENT)
    assert recv(ann) == CONTENT
    backend.send('{"action":"sing\x1b[31m\n{}"}')
    backend.act("close", name, reason=CONTENT)
    assert close_of(ann) == ([], 1011, CONTENT)
    for bearer in [token("eve", "wrong" * 10), "eyJ.eyJ.eyJ"]:
        with pytest.raises(InvalidStatus):
            trunkline.connect("eve", f"/lobby/7?token={bearer}", bearer=bearer)
    trunkline.log("actions ignored", 2)
    assert "forged" in trunkline.log("admitted")["user"], "names are data of a field"
    trunkline.signal(signal.SIGTERM)
    assert trunkline.wait() == 0
    entries = [json.loads(line) for line in trunkline.lines]
    assert not [entry for entry in entries if entry.get("message") == "forged"]
    assert not [line for line in trunkline.lines if not line.isprintable()], "no control characters"
    # That neither tokens nor contents are in it is checked of every log of this suite.
