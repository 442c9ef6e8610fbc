"""How sessions end and how users come again, as other implementations see it."""
import time

import pytest
from peers import close_of, lobby, token
from websockets.exceptions import InvalidStatus

LONG = "\u00e9" * 100


@pytest.mark.parametrize("asked, seen", [
    ({"status": 4001, "reason": "the lobby is full"}, (4001, "the lobby is full")),
    ({"status": 1000}, (1000, "Initiated by backend")),
    ({"status": 3000, "reason": None}, (3000, "Initiated by backend")),
    ({"status": 4999, "reason": ""}, (4999, "")),
    ({}, (1011, "Something went wrong on the backend")),
    ({"status": None, "reason": "oh"}, (1011, "oh")),
    ({"status": 1005}, (1011, None)),
    ({"status": 999, "reason": "no code"}, (1011, "no code")),
    ({"status": 4000, "reason": LONG}, (4000, "\u00e9" * 61)),
])
def test_a_backend_closes(asked, seen, node_backend, gateway):
    backend = node_backend()
    ann = gateway(lobby(backend.port)).connect("ann")
    backend.expect(("open", "ann"))
    backend.act("send", "ann", data="last")
    backend.act("close", "ann", **asked)
    messages, code, reason = close_of(ann)
    assert messages == ["last"]
    assert (code, reason if seen[1] is not None else None) == seen


def test_a_client_closes(backend, gateway):
    ann = gateway(lobby(backend.port)).connect("ann")
    ann.send("bye")
    backend.expect(("open", "ann"), ("message", "ann", "bye"))
    ann.close(4321, "so long")
    assert ann.close_code == 4321, "the code is answered with itself"
    backend.expect(("close", "ann"))


def test_a_client_vanishes(backend, gateway):
    ann = gateway(lobby(backend.port)).connect("ann")
    backend.expect(("open", "ann"))
    ann.socket.close()
    backend.expect(("close", "ann"))


def test_a_newcomer_takes_over_after_the_gap(backend, gateway):
    trunkline = gateway(lobby(backend.port))
    old = trunkline.connect("ann", "/lobby/1")
    assert '"params":{"lobby_id":"1"}' in backend.frame()["frame"]
    new = trunkline.connect("ann", "/lobby/2")
    new.send("first")
    closed, opened = backend.frame(), backend.frame()
    assert closed["frame"] == '{"event":"close","user":{"username":"ann"},"params":{"lobby_id":"1"}}'
    assert opened["frame"] == '{"event":"open","user":{"username":"ann"},"params":{"lobby_id":"2"}}'
    # What the backend measures may be a little less: the first event may have waited for it.
    assert opened["at"] - closed["at"] > 0.08
    backend.expect(("message", "ann", "first"))
    reason = "Only one connection per endpoint per token bearer is allowed"
    assert close_of(old) == ([], 1008, reason)
    backend.act("send", "ann", data="you")
    assert new.recv(timeout=30) == "you"


def test_one_who_leaves_and_returns_waits_for_the_gap_and_nobody_else_does(backend, gateway):
    trunkline = gateway(lobby(backend.port, 'reopen_gap = "1s"'))
    ann = trunkline.connect("ann")
    backend.expect(("open", "ann"))
    ann.close()
    backend.expect(("close", "ann"))
    again = trunkline.connect("ann")
    bob = trunkline.connect("bob")
    bob.send("meanwhile")
    backend.expect(("open", "bob"), ("message", "bob", "meanwhile"), ("open", "ann"))
    again.close()


def test_a_duplicate_is_rejected_where_that_is_wanted(backend, gateway):
    trunkline = gateway(lobby(backend.port, 'on_duplicate = "reject"'))
    ann = trunkline.connect("ann")
    with pytest.raises(InvalidStatus) as refused:
        trunkline.connect("ann")
    assert refused.value.response.status_code == 409
    ann.send("undisturbed")
    backend.expect(("open", "ann"), ("message", "ann", "undisturbed"))


def test_a_session_ends_with_its_token(backend, gateway):
    trunkline = gateway(lobby(backend.port))
    ann = trunkline.connect("ann", bearer=token("ann", exp=int(time.time()) + 2))
    assert close_of(ann) == ([], 1008, "token expired")
    backend.expect(("open", "ann"), ("close", "ann"))
