"""The other commands: check, token, connect, and the demo."""
import re
import signal
import subprocess

import jwt
import pytest
from peers import DEADLINE, SECRET, TRUNKLINE, Process, lobby


def run(*arguments, **options):
    command = [TRUNKLINE, *map(str, arguments)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=DEADLINE, **options)
    return done.returncode, done.stdout, done.stderr


def test_check_says_everything_that_is_wrong(tmp_path):
    file = tmp_path / "bad.toml"
    file.write_text('limits.headers_max = 0\n' + lobby(1, 'reopengap = "1s"', path="/lobby/{id"))
    code, out, err = run("check", file)
    assert (code, out) == (1, "")
    assert err.startswith(f"{file}: 3 problems\n")
    for problem in ["line 1: limits.headers_max: 0 is out of range", "no closing brace", "did you mean reopen_gap?"]:
        assert problem in err
    assert SECRET not in err
    assert run("run", "--config", file)[::2] == (1, err), "running it says the same"


def test_check_of_a_good_file(tmp_path):
    file = tmp_path / "good.toml"
    file.write_text(lobby(1))
    assert run("check", file) == (0, f"{file}: nothing wrong\n", "")


def test_check_of_no_file(tmp_path):
    code, _, err = run("check", tmp_path / "none.toml")
    assert code == 1 and "none.toml" in err


def test_a_token_that_the_gateway_accepts(backend, gateway):
    trunkline = gateway(lobby(backend.port))
    code, out, _ = run("token", "--user", "ann", "--config", trunkline.file, "--claim", "admin=true")
    assert code == 0
    claims = jwt.decode(out.strip(), SECRET, algorithms=["HS256"])
    assert (claims["sub"], claims["admin"]) == ("ann", True)
    trunkline.connect("ann", bearer=out.strip())
    backend.expect(("open", "ann"))


@pytest.fixture
def demo():
    demo = Process([TRUNKLINE], stream="stdout")
    yield demo
    demo.kill()


def test_two_terminals_chat_in_the_demo(demo):
    commands = [demo.line(lambda line: " connect ws://" in line, count).split() for count in (1, 2)]
    ann = Process(commands[0], stream="stdout")
    ann.line(lambda line: line == "< * ann has joined")
    bob = Process(commands[1], stream="stdout")
    for terminal in [ann, bob]:
        terminal.line(lambda line: line == "< * bob has joined")
    ann.write("hello, bob \u00fc\x1b")
    for terminal in [ann, bob]:
        terminal.line(lambda line: line == "< ann: hello, bob \u00fc\\u{1b}")
    bob.write("hello, ann")
    ann.line(lambda line: line == "< bob: hello, ann")
    bob.popen.stdin.close()
    assert bob.wait() == 0, "the end of input closes"
    ann.line(lambda line: line == "< * bob has left")
    demo.signal(signal.SIGINT)
    ann.line(lambda line: line.startswith("closed: 1001"))
    assert ann.wait() == 0
    assert demo.wait() == 0
    ann.popen.stdin.close()


def test_connect_says_why_it_was_refused(demo):
    url = re.search(r"ws://\S+/lobby/1", demo.line(lambda line: " connect ws://" in line))[0]
    code, _, err = run("connect", url, "--token", "nonsense")
    assert code == 1 and "refused with 401" in err
    code, _, err = run("connect", url.replace("lobby", "nowhere"))
    assert code == 1 and "refused with 404" in err
