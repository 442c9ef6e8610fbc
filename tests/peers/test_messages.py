"""What is in a message comes out as it went in, in both directions, whatever it is."""
import json

import pytest
from peers import CONTENT, DEADLINE, close_of, lobby, recv

TEXTS = [
    "",
    "hello",
    '"quoted" \\ and / slashed',
    "".join(map(chr, range(0x20))) + "\x7f\x80\x9f",
    '{"event":"close","user":{"username":"bob"}}',
    "\u2028\u2029\ufeff\ufffe\uffff\ue000",
    "e\u0301 \u05d0\u0627 \U0001F469\u200d\U0001F680 \U00010000\U0010FFFF",
    "\\u0000 \\ud83d \n\r\t\b\f",
    " " * 3,
]


def event_text(text):
    """The event of a message, byte for byte."""
    data = json.dumps(text, ensure_ascii=False)
    return '{"event":"message","user":{"username":"ann"},"params":{"lobby_id":"7 \u00fc"},"data":' + data + "}"


@pytest.fixture
def ann(backend, gateway):
    trunkline = gateway(lobby(backend.port))
    ann = trunkline.connect("ann", "/lobby/7%20%C3%BC")
    opened = '{"event":"open","user":{"username":"ann"},"params":{"lobby_id":"7 \u00fc"}}'
    assert backend.frame()["frame"] == opened
    return ann


def test_to_the_backend(backend, ann):
    for text in TEXTS:
        ann.send(text)
    for text in TEXTS:
        assert backend.frame()["frame"] == event_text(text)


def test_to_the_client(backend, ann):
    for text in TEXTS:
        backend.act("send", "ann", data=text)
        backend.send(json.dumps({"action": "send", "user": {"username": "ann"}, "data": text}, ensure_ascii=False))
    for text in TEXTS:
        assert (recv(ann), recv(ann)) == (text, text)


def test_json_goes_to_the_client_as_it_stands(backend, ann):
    values = ['{"event":"chat", "from":"bob"}', "[1, 2 ,3]", "12345678901234567890.10", "1e999", "true", "null", '{"a":1,"a":2}']
    for value in values:
        backend.send('{"data":' + value + ',"later":{},"user":{"username":"ann"},"action":"send"}')
    for value in values:
        assert recv(ann) == value


def test_a_lone_surrogate_is_replaced(backend, ann):
    backend.send('{"action":"send","user":{"username":"ann"},"data":"a\\ud83db"}')
    assert recv(ann) == "a\ufffdb"


def test_an_action_in_a_binary_frame(backend, ann):
    backend.send('{"action":"send","user":{"username":"ann"},"data":"\u00fc"}', binary=True)
    assert recv(ann) == "\u00fc"


def test_fragments_are_put_together(backend, ann):
    text = "\U0001F600" * 1000
    raw = text.encode()
    ann.send([raw[i : i + 3] for i in range(0, len(raw), 3)], text=True)
    assert backend.frame()["frame"] == event_text(text)
    action = json.dumps({"action": "send", "user": {"username": "ann"}, "data": text}, ensure_ascii=False).encode()
    backend.send(*[action[i : i + 7] for i in range(0, len(action), 7)])
    assert recv(ann) == text


def test_pings_are_answered(ann):
    assert ann.ping(b"are you there?").wait(DEADLINE)


def test_actions_that_cannot_be_carried_out_change_nothing(backend, ann):
    bad = ["", "{", "[]", '{"action":"send"}', '{"action":"sing","user":{"username":"ann"}}', '{"action":"send","user":"ann","data":1}']
    for frame in bad:
        backend.send(frame)
    for user in ["bob", "__proto__", "constructor", "", "\U0001F600"]:
        backend.act("send", user, data=CONTENT)
        backend.act("close", user)
    backend.act("send", "ann", data="still here")
    assert recv(ann) == "still here"


def test_large_messages(backend, gateway):
    settings = 'message_bytes_max = "8MiB"\nlink.message_bytes_max = "16MiB"\nclient_queue.bytes_max = "16MiB"'
    ann = gateway(lobby(backend.port, settings)).connect("ann")
    text = "0123456789\u00fc\n" * (5 << 20 >> 4)
    ann.send(text)
    backend.expect(("open", "ann"), ("message", "ann", text))
    backend.act("send", "ann", data=text)
    assert recv(ann) == text


def test_a_message_that_is_too_large_ends_the_session(backend, gateway):
    trunkline = gateway(lobby(backend.port, 'message_bytes_max = "1KiB"'))
    ann = trunkline.connect("ann")
    ann.send("x" * 1024)
    backend.expect(("open", "ann"), ("message", "ann", "x" * 1024))
    ann.send("y" * 1025)
    assert close_of(ann)[:2] == ([], 1009)
    backend.expect(("close", "ann"))


def test_binary_messages_are_passed_as_text(backend, ann):
    ann.send("\u00fc".encode())
    assert backend.event() == ("message", "ann", "\u00fc")
    ann.send(b"\xff")
    assert close_of(ann)[:2] == ([], 1007)
    assert backend.event() == ("close", "ann")


def test_binary_messages_are_passed_in_base64(backend, gateway):
    ann = gateway(lobby(backend.port, 'binary = "base64"')).connect("ann")
    ann.send(b"\xff\x00")
    assert backend.event() == ("open", "ann")
    assert backend.frame()["frame"].endswith(',"data":"/wA=","encoding":"base64"}')
    backend.act("send", "ann", data="/wA=", encoding="base64")
    backend.act("send", "ann", data="/wA=")
    assert [recv(ann), recv(ann)] == [b"\xff\x00", "/wA="]
