"""Chats behind the gateway: those that docs/backends.md shows, unmodified, and those that wait for a slow store."""
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


def test_a_user_whom_a_killed_gateway_left_behind_comes_back(example, gateway):
    port = example()
    killed = gateway(lobby(port))
    ann = killed.connect("ann")
    assert recv(ann) == "* ann has joined"
    killed.kill()
    trunkline = gateway(lobby(port))
    ann = trunkline.connect("ann")
    ann.send("again")
    assert recv(ann) == "ann: again", "she has joined before"
    ann = trunkline.connect("ann", "/lobby/8")
    assert recv(ann) == "* ann has joined"
    ann.send("/quit")
    assert close_of(ann) == ([], 4000, "bye")


def test_without_a_gap_the_examples_lose_nobody(example, gateway):
    trunkline = gateway(lobby(example(), 'reopen_gap = "0s"'))
    bob = trunkline.connect("bob")
    assert recv(bob) == "* bob has joined"
    for _ in range(5):
        ann = trunkline.connect("ann")
        assert (recv(bob), recv(ann)) == ("* ann has joined",) * 2
        newer = trunkline.connect("ann")
        assert (recv(bob), recv(bob), recv(newer)) == ("* ann has left", "* ann has joined", "* ann has joined")
        newer.close()
        assert recv(bob) == "* ann has left"


def test_a_user_who_comes_again_is_not_lost(store_chat, gateway):
    trunkline = gateway(lobby(store_chat(STORE_MS="5")))
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


def test_without_the_gap_a_slow_store_loses_the_user(store_chat, gateway):
    """That the test above can fail: these backends are as sensitive as those that the gap is for."""
    trunkline = gateway(lobby(store_chat(STORE_MS="200"), 'reopen_gap = "0s"'))
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
