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
        while not self.stopping.wait(0.01):
            self.clients[user].send(str(self.sent[user] + 1))
            self.sent[user] += 1

    def stop(self):
        self.stopping.set()
        for thread in self.threads:
            thread.join(DEADLINE)
            assert not thread.is_alive()


class Heard:
    """What a backend has heard, and which numbers of each user's."""

    def __init__(self):
        self.events = []
        self.numbers = {user: [] for user in USERS}

    def add(self, event):
        self.events.append(event)
        if event[0] == "message" and event[1] in self.numbers:
            self.numbers[event[1]].append(int(event[2]))

    def hear(self, backend, until):
        while not until():
            self.add(backend.event())

    def hear_of_each(self, backend, count):
        self.hear(backend, lambda: all(len(numbers) >= count for numbers in self.numbers.values()))

    def hear_all_of(self, backend, talkers):
        self.hear(backend, lambda: all(self.numbers[user][-1] == talkers.sent[user] for user in USERS))


def test_a_backend_is_killed_under_traffic(node_backend, gateway):
    first = node_backend()
    trunkline = gateway(lobby(first.port))
    talkers = Talkers(trunkline)
    before, after = Heard(), Heard()
    before.hear_of_each(first, 20)
    first.process.signal(signal.SIGKILL)
    first.process.wait()
    while not first.heard.empty():
        item = first.next()
        if "frame" in item:
            before.add(brief(item["frame"]))

    second = node_backend(first.port)
    after.hear_of_each(second, 20)
    talkers.stop()
    after.hear_all_of(second, talkers)

    for user in USERS:
        own = [event for event in after.events if event[1] == user]
        assert own[0] == ("open", user), "each live session is announced anew, before its messages"
        assert [event[0] for event in own[1:]] == ["message"] * (len(own) - 1)
        assert [event for event in before.events if event[1] == user][0] == ("open", user)
        numbers = after.numbers[user]
        heard = before.numbers[user] + numbers
        assert heard == sorted(set(heard)), "nothing twice, nothing out of order"
        assert numbers == list(range(numbers[0], talkers.sent[user] + 1)), "no gaps"
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
    talkers, heard = Talkers(trunkline), Heard()
    heard.hear_of_each(backend, 5)
    backend.process.signal(signal.SIGSTOP)
    # How long it stands still is counted in traffic, not slept: at this pace about three seconds.
    while sum(talkers.sent.values()) < 2_000 and not talkers.stopping.wait(0.05):
        pass
    assert trunkline.get("/healthz") == 200
    newcomer = trunkline.connect("newcomer")
    newcomer.send("hello?")
    talkers.stop()
    backend.process.signal(signal.SIGCONT)
    heard.hear_all_of(backend, talkers)
    heard.hear(backend, lambda: ("message", "newcomer", "hello?") in heard.events)
    for user in USERS:
        assert heard.numbers[user] == list(range(1, talkers.sent[user] + 1))
        assert heard.events.count(("open", user)) == 1, "the link never broke"


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
    second, heard = node_backend(first.port), Heard()
    trunkline.signal(signal.SIGCONT)
    newcomer.send("hello")
    heard.hear(second, lambda: ("message", "ann", "hello") in heard.events)
    assert heard.events[-2:] == [("open", "ann"), ("message", "ann", "hello")]
    assert heard.events.count(("open", "ann")) == 1, "one link, one open"
