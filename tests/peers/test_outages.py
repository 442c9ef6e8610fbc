"""Backends that are killed, stopped and started again, while clients talk."""
import signal
import threading

from peers import DEADLINE, brief, close_of, lobby, recv

USERS = [f"user-{number}" for number in range(8)]


class Talkers:
    """Clients that number their messages and go on until told to stop."""

    def __init__(self, gateway):
        self.clients = {user: gateway.connect(user) for user in USERS}
        self.stopping = threading.Event()
        self.sent = dict.fromkeys(USERS, 0)
        self.threads = [threading.Thread(target=self.talk, args=[user], daemon=True) for user in USERS]
        for thread in self.threads:
            thread.start()

    def talk(self, user):
        # The wait is the traffic's pace; nothing is timed by it.
        while not self.stopping.wait(0.002):
            self.clients[user].send(str(self.sent[user] + 1))
            self.sent[user] += 1

    def stop(self):
        self.stopping.set()
        for thread in self.threads:
            thread.join(DEADLINE)
            assert not thread.is_alive()


def hear(backend, events, until):
    while not until(events):
        events.append(backend.event())


def numbers(events, user):
    return [int(event[2]) for event in events if event[:2] == ("message", user)]


def test_a_backend_is_killed_under_traffic(node_backend, gateway):
    first = node_backend()
    trunkline = gateway(lobby(first.port))
    talkers = Talkers(trunkline)
    before, after = [], []
    hear(first, before, lambda events: all(len(numbers(events, user)) >= 20 for user in USERS))
    first.process.signal(signal.SIGKILL)
    first.process.wait()
    while not first.heard.empty():
        item = first.next()
        before += [brief(item["frame"])] if "frame" in item else []

    second = node_backend(first.port)
    hear(second, after, lambda events: all(len(numbers(events, user)) >= 20 for user in USERS))
    talkers.stop()
    hear(second, after, lambda events: all(numbers(events, user)[-1] == talkers.sent[user] for user in USERS))

    for user in USERS:
        own = [event for event in after if event[1] == user]
        assert own[0] == ("open", user), "each live session is announced anew, before its messages"
        assert [event[0] for event in own[1:]] == ["message"] * (len(own) - 1)
        assert [event for event in before if event[1] == user][0] == ("open", user)
        heard = numbers(before, user) + numbers(after, user)
        assert heard == sorted(set(heard)), "nothing twice, nothing out of order"
        assert numbers(after, user) == list(range(numbers(after, user)[0], talkers.sent[user] + 1)), "no gaps"
        second.act("send", user, data=f"for {user}")
        assert recv(talkers.clients[user]) == f"for {user}", "the client is still there"
    assert trunkline.get("/readyz") == 200


def test_a_session_that_ends_while_the_backend_is_away_is_closed_first(node_backend, gateway):
    first = node_backend()
    trunkline = gateway(lobby(first.port))
    ann, bob = trunkline.connect("ann"), trunkline.connect("bob")
    first.expect(("open", "ann"), ("open", "bob"))
    first.process.signal(signal.SIGKILL)
    trunkline.log("link broken")
    ann.close()
    cid = trunkline.connect("cid")
    cid.send("waits")
    second = node_backend(first.port)
    second.expect(("close", "ann"), ("open", "bob"), ("open", "cid"), ("message", "cid", "waits"))
    bob.send("still here")
    second.expect(("message", "bob", "still here"))


def test_a_backend_that_stands_still_loses_nothing(node_backend, gateway):
    backend = node_backend()
    trunkline = gateway(lobby(backend.port))
    talkers, events = Talkers(trunkline), []
    hear(backend, events, lambda events: all(len(numbers(events, user)) >= 5 for user in USERS))
    backend.process.signal(signal.SIGSTOP)
    # How long it stands still is counted in traffic, not slept: at this pace about three seconds.
    while sum(talkers.sent.values()) < 10_000 and not talkers.stopping.wait(0.05):
        pass
    assert trunkline.get("/healthz") == 200
    newcomer = trunkline.connect("newcomer")
    newcomer.send("hello?")
    talkers.stop()
    backend.process.signal(signal.SIGCONT)
    is_done = lambda events: ("message", "newcomer", "hello?") in events and all(
        numbers(events, user)[-1] == talkers.sent[user] for user in USERS)
    hear(backend, events, is_done)
    for user in USERS:
        assert numbers(events, user) == list(range(1, talkers.sent[user] + 1))
        assert events.count(("open", user)) == 1, "the link never broke"


def test_clients_are_held_until_the_backend_comes(node_backend, gateway):
    gone = node_backend()
    gone.stop()
    trunkline = gateway(lobby(gone.port))
    ann = trunkline.connect("ann")
    ann.send("early")
    trunkline.log("no link")
    node_backend(gone.port).expect(("open", "ann"), ("message", "ann", "early"))


def test_an_outage_that_lasts_ends_the_sessions(node_backend, gateway):
    gone = node_backend()
    gone.stop()
    trunkline = gateway(lobby(gone.port, 'outage = { grace = "200ms", spread = "0s" }'))
    assert close_of(trunkline.connect("ann"))[:2] == ([], 1013)


def test_a_backend_that_closes_the_link_is_dialled_again(backend, gateway):
    ann = gateway(lobby(backend.port)).connect("ann")
    backend.expect(("open", "ann"))
    backend.close(1000, "back soon")
    backend.expect(("open", "ann"))
    ann.send("again")
    backend.expect(("message", "ann", "again"))


def test_what_was_due_as_the_link_broke_does_not_go_to_the_next_link(node_backend, gateway):
    """The gateway stands still while a gap passes and the link breaks: both are due in the turn in which it wakes."""
    first = node_backend()
    trunkline = gateway(lobby(first.port, 'reopen_gap = "500ms"'))
    trunkline.connect("ann")
    first.expect(("open", "ann"))
    newcomer = trunkline.connect("ann")
    first.expect(("close", "ann"))
    trunkline.signal(signal.SIGSTOP)
    first.process.signal(signal.SIGKILL)
    first.process.wait()
    threading.Event().wait(0.6)  # The gap; what follows holds however long it takes.
    second, events = node_backend(first.port), []
    trunkline.signal(signal.SIGCONT)
    newcomer.send("hello")
    hear(second, events, lambda events: ("message", "ann", "hello") in events)
    assert events[-2:] == [("open", "ann"), ("message", "ann", "hello")]
    assert events.count(("open", "ann")) == 1, "one link, one open"
