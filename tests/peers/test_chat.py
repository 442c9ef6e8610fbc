"""The backends that docs/backends.md shows, unmodified, behind the gateway."""
from peers import close_of, lobby, recv


def test_two_users_chat(example, gateway):
    trunkline = gateway(lobby(example()))
    ann = trunkline.connect("ann")
    assert recv(ann) == "* ann has joined"
    bob = trunkline.connect("bob")
    assert (recv(ann), recv(bob)) == ("* bob has joined",) * 2
    elsewhere = trunkline.connect("cid", "/lobby/8")
    assert recv(elsewhere) == "* cid has joined"

    ann.send("hello")
    assert (recv(ann), recv(bob)) == ("ann: hello",) * 2
    bob.send('{"a":"\\u0000"}\U0001F600')
    assert (recv(ann), recv(bob)) == ('bob: {"a":"\\u0000"}\U0001F600',) * 2
    ann.close()
    assert recv(bob) == "* ann has left"
    elsewhere.send("/quit")
    assert close_of(elsewhere) == ([], 4000, "bye")


def test_users_have_names_that_objects_have(example, gateway):
    trunkline = gateway(lobby(example()))
    proto = trunkline.connect("__proto__")
    assert recv(proto) == "* __proto__ has joined"
    constructor = trunkline.connect("constructor", "/lobby/__proto__")
    assert recv(constructor) == "* constructor has joined"
    proto.send("hi")
    assert recv(proto) == "__proto__: hi"
    constructor.send("/quit")
    assert close_of(constructor) == ([], 4000, "bye")


def test_a_user_who_comes_again_is_not_lost(example, gateway):
    trunkline = gateway(lobby(example(STORE_MS="5")))
    bob = trunkline.connect("bob")
    assert recv(bob) == "* bob has joined"
    ann = trunkline.connect("ann")
    for _ in range(5):
        assert recv(bob) == "* ann has joined"
        newer = trunkline.connect("ann")
        assert close_of(ann)[1:] == (1008, "Only one connection per endpoint per token bearer is allowed")
        assert recv(bob) == "* ann has left"
        ann = newer
        assert recv(ann) == "* ann has joined"


def test_without_the_gap_a_slow_store_loses_the_user(example, gateway):
    """That the test above can fail: these backends are as sensitive as those that the gap is for."""
    trunkline = gateway(lobby(example(STORE_MS="200"), 'reopen_gap = "0s"'))
    bob = trunkline.connect("bob")
    assert recv(bob) == "* bob has joined"
    trunkline.connect("ann")
    assert recv(bob) == "* ann has joined"
    ann = trunkline.connect("ann")
    assert recv(bob) == "* ann has left"
    bob.send("anyone?")
    assert recv(bob) == "bob: anyone?"
    ann.send("/quit")
    assert close_of(ann) == ([], 4000, "bye"), "ann hears nothing, for the backend has forgotten her"
