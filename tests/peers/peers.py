"""What the tests share: the gateway as a process, backends in two languages, clients.

Nothing here waits for a fixed time: whoever waits, waits for something to happen, with a deadline that only a
failure reaches.
"""
import base64
import json
import os
import queue
import re
import signal
import subprocess
import threading
import time
import urllib.request
from pathlib import Path

import jwt
import jsonschema
import websockets.sync.client
import websockets.sync.server
from websockets.exceptions import ConnectionClosed

ROOT = Path(__file__).resolve().parents[2]
TRUNKLINE = os.environ.get("TRUNKLINE_BIN", str(ROOT / "target/debug/trunkline"))
SECRET = "a secret of 64 bytes, which is long enough for every HMAC we have"
DEADLINE = 30
CONTRACT = ROOT / "docs/schema"


def schema(file):
    return json.loads((CONTRACT / file).read_text())


def validator(file, name=None):
    """What checks against a schema of the contract, or against one of its definitions."""
    whole = schema(file)
    part = {"$ref": f"#/$defs/{name}", "$defs": whole["$defs"]} if name else whole
    return jsonschema.Draft202012Validator(part)


EVENT = validator("event.json")


def token(user, key=SECRET, algorithm="HS256", headers=None, **claims):
    """A token by an implementation that is not the gateway's."""
    claims = {"sub": user, "exp": int(time.time()) + 3600, **claims}
    return jwt.encode(claims, key, algorithm=algorithm, headers=headers)


def environment():
    return {**os.environ, "NODE_PATH": str(ROOT / "tests/peers/node_modules")}


class Process:
    """A program whose lines of output are gathered while it runs."""

    def __init__(self, command, stream="stderr", env=None, **options):
        self.lines = []
        self.changed = threading.Condition()
        self.is_over = False
        self.popen = subprocess.Popen(
            [str(word) for word in command], stdin=subprocess.PIPE, env={**environment(), **(env or {})},
            **{stream: subprocess.PIPE}, **options,
        )
        threading.Thread(target=self.gather, args=[getattr(self.popen, stream)], daemon=True).start()

    def gather(self, pipe):
        for line in pipe:
            with self.changed:
                self.lines.append(line.decode().rstrip("\n"))
                self.changed.notify_all()
        with self.changed:
            self.is_over = True
            self.changed.notify_all()

    def line(self, fits, count=1, timeout=DEADLINE):
        """The `count`th line that fits, as soon as there is one."""
        found = lambda: [line for line in self.lines if fits(line)]
        with self.changed:
            self.changed.wait_for(lambda: len(found()) >= count or self.is_over, timeout)
            assert len(found()) >= count, "no such line in:\n" + "\n".join(self.lines)
            return found()[count - 1]

    def write(self, line):
        self.popen.stdin.write(line.encode() + b"\n")
        self.popen.stdin.flush()

    def signal(self, number):
        self.popen.send_signal(number)

    def wait(self, timeout=DEADLINE):
        """The exit code, once the process and its output have ended."""
        code = self.popen.wait(timeout)
        with self.changed:
            assert self.changed.wait_for(lambda: self.is_over, timeout)
        return code

    def kill(self):
        self.popen.kill()
        self.wait()
        self.popen.stdin.close()


class Gateway(Process):
    """The real binary with a configuration of its own; it listens on a free port, and logs all it has to say."""

    def __init__(self, directory, endpoints, gateway="", listen="127.0.0.1:0", level="trace"):
        self.file = Path(directory) / "trunkline.toml"
        self.file.write_text(f'listen.address = "{listen}"\n{gateway}\n[log]\nlevel = "{level}"\n{endpoints}')
        super().__init__([TRUNKLINE, "run", "--config", self.file])
        self.address = re.search(r"127\.0\.0\.1:\d+", self.line(lambda line: '"listening"' in line))[0]

    def log(self, message, count=1):
        """The `count`th entry of this message."""
        return json.loads(self.line(lambda line: json.loads(line).get("message") == message, count))

    def connect(self, user, path="/lobby/7", bearer=None, cookies=None, **options):
        """A client with its token in the header, unless `bearer` is empty."""
        headers = {} if bearer == "" else {"Authorization": f"Bearer {bearer or token(user)}"}
        headers |= {"Cookie": cookies} if cookies else {}
        options = {"open_timeout": DEADLINE, "close_timeout": DEADLINE, "proxy": None, "max_size": None, "legacy": True} | options
        return websockets.sync.client.connect(
            f"ws://{self.address}{path}", additional_headers=headers, **options)

    def get(self, path):
        with urllib.request.urlopen(f"http://{self.address}{path}", timeout=DEADLINE) as response:
            return response.status


def lobby(port, settings="", tokens="", name="lobby", path="/lobby/{lobby_id}"):
    """The configuration of an endpoint."""
    return f"""
[endpoints.{name}]
path = "{path}"
backend = "ws://127.0.0.1:{port}/"
{settings}
[endpoints.{name}.token]
{tokens or f'algorithms = ["HS256"]{chr(10)}secret = "{SECRET}"'}
"""


class Backend:
    """What a backend has heard, one item after the other."""

    def __init__(self):
        self.heard = queue.Queue()

    def next(self, timeout=DEADLINE):
        return self.heard.get(timeout=timeout)

    def frame(self):
        """The next event as it came; whatever else happens is passed over."""
        while True:
            item = self.next()
            if "frame" in item:
                EVENT.validate(json.loads(item["frame"]))  # Whatever the gateway sends, the contract has it.
                return item

    def event(self):
        """The next event in brief."""
        return brief(self.frame()["frame"])

    def expect(self, *events):
        for event in events:
            assert self.event() == event

    def closed(self):
        """With which code and reason the link ends; no event may come before."""
        while True:
            item = self.next()
            assert "frame" not in item, item
            if "closed" in item:
                return tuple(item["closed"])

    def act(self, action, user, **rest):
        self.send(json.dumps({"action": action, "user": {"username": user}, **rest}))


def brief(frame):
    event = json.loads(frame)
    return (event["event"], event["user"]["username"], *([event["data"]] if "data" in event else []))


class NodeBackend(Backend):
    """recorder.js in a process of its own: Node and `ws`."""

    def __init__(self, port=0):
        super().__init__()
        self.process = Process(["node", ROOT / "tests/peers/recorder.js", port], stream="stdout")
        self.port = json.loads(self.process.line(lambda line: "listening" in line))["listening"]
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self):
        taken = 1
        while not (self.process.is_over and taken == len(self.process.lines)):
            with self.process.changed:
                self.process.changed.wait_for(lambda: len(self.process.lines) > taken or self.process.is_over)
            for line in self.process.lines[taken:]:
                self.heard.put(json.loads(line))
                taken += 1

    def send(self, *parts, binary=False):
        parts = [part if isinstance(part, bytes) else part.encode() for part in parts]
        encoded = [base64.b64encode(part).decode() for part in parts]
        self.process.write(json.dumps({"send": encoded, "binary": binary}))

    def close(self, code, reason):
        self.process.write(json.dumps({"close": [code, reason]}))

    def stop(self):
        self.process.kill()


class PythonBackend(Backend):
    """`websockets` in a thread."""

    def __init__(self):
        super().__init__()
        self.link, self.links = None, 0
        self.server = websockets.sync.server.serve(self.serve, "127.0.0.1", 0, max_size=64 << 20)
        self.port = self.server.socket.getsockname()[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def serve(self, socket):
        self.link, self.links = socket, self.links + 1
        number = self.links
        try:
            while True:
                frame = socket.recv()
                self.heard.put({"at": time.monotonic(), "link": number, "frame": frame})
        except ConnectionClosed as closed:
            frame = closed.rcvd
            self.heard.put({"link": number, "closed": [frame.code, frame.reason] if frame else [1006, ""]})

    def send(self, *parts, binary=False):
        parts = [part if isinstance(part, bytes) else part.encode() for part in parts]
        self.link.send(parts[0] if len(parts) == 1 else parts, text=not binary)

    def close(self, code, reason):
        self.link.close(code, reason)

    def stop(self):
        self.server.shutdown()
        if self.link:
            self.link.socket.close()


def recv(client):
    return client.recv(timeout=DEADLINE)


def close_of(client):
    """What came before the connection was closed, and with which code and reason it was."""
    messages = []
    try:
        while True:
            messages.append(recv(client))
    except ConnectionClosed as closed:
        assert closed.rcvd, "the connection broke without a close frame"
        return messages, closed.rcvd.code, closed.rcvd.reason


CONTENT = "nobody's business"


def check_log(gateway):
    """A gateway's whole log, when it is over: JSON, and nothing in it that is nobody's business."""
    for line in gateway.lines:
        assert {"timestamp", "level", "target"} <= json.loads(line).keys()
        assert "eyJ" not in line, "a token"
        assert SECRET not in line
        assert CONTENT not in line
