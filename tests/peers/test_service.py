"""What a service manager does with the gateway: hands it listening sockets, and is told how it is."""
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request

import pytest
from peers import DEADLINE, ROOT, TRUNKLINE, Gateway, Process, lobby, recv

# As systemd starts a service with sockets: they are the descriptors from 3 on, and the process is named.
ACTIVATE = """
import os, sys
sockets, program = sys.argv[1].split(","), sys.argv[2:]
for at, held in enumerate(sockets):
    os.dup2(int(held), 3 + at)
os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": str(len(sockets)), "LISTEN_FDNAMES": "clients:health"}
os.execv(program[0], program)
"""


def listening(host="127.0.0.1"):
    """A socket that listens, and whose number is none that the gateway gets it by."""
    held = socket.create_server((host, 0))
    high = socket.socket(fileno=os.dup(held.fileno()))
    while high.fileno() < 20:
        high = socket.socket(fileno=os.dup(high.detach()))
    os.set_inheritable(high.fileno(), True)
    return high, "%s:%d" % held.getsockname()


def configuration(tmp_path, port, *lines):
    file = tmp_path / "trunkline.toml"
    file.write_text("\n".join([*lines, "drain.time = \"0s\"", lobby(port)]))
    return file


def activate(sockets, *arguments):
    held = [one.fileno() for one in sockets]
    return Process([sys.executable, "-c", ACTIVATE, ",".join(map(str, held)), TRUNKLINE, *arguments], pass_fds=held)


def connect(address):
    trunkline = Gateway.__new__(Gateway)
    trunkline.address = address
    return trunkline.connect("ann")


def test_the_sockets_of_the_service_manager_are_listened_on(example, tmp_path):
    (clients, address), (health, beside) = listening(), listening()
    file = configuration(tmp_path, example(), f'listen.address = "{address}"', f'health.address = "{beside}"')
    waiting = socket.create_connection(clients.getsockname(), timeout=DEADLINE)  # Before anything runs.
    service = activate([clients, health], "run", "--config", file)
    service.line(lambda line: '"listening"' in line or "listening" in line)
    ann = connect(address)
    assert recv(ann) == "* ann has joined"
    with urllib.request.urlopen(f"http://{beside}/healthz", timeout=DEADLINE) as answer:
        assert answer.status == 200
    waiting.sendall(b"GET /nowhere HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert waiting.recv(100).startswith(b"HTTP/1.1 404")
    service.signal(signal.SIGTERM)
    assert service.wait() == 0
    assert clients.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN), "the next one will be given the same"
    socket.create_connection(clients.getsockname(), timeout=DEADLINE).close()
    service.popen.stdin.close()


def test_a_socket_that_nobody_wants_is_an_error(example, tmp_path):
    (clients, address), (stray, elsewhere) = listening(), listening()
    file = configuration(tmp_path, example(), f'listen.address = "{address}"')
    service = activate([clients, stray], "run", "--config", file)
    assert service.wait() == 1
    assert any(f"{elsewhere} is passed by the service manager" in line for line in service.lines), service.lines
    service.popen.stdin.close()


def test_sockets_for_another_process_are_left_alone(example, tmp_path):
    held, address = listening()
    file = configuration(tmp_path, example(), f'listen.address = "{address}"')
    env = {"LISTEN_PID": "1", "LISTEN_FDS": "1"}
    service = Process([TRUNKLINE, "run", "--config", file], env=env, pass_fds=[held.fileno()])
    assert service.wait() == 1, "the address is in use"
    assert any("cannot listen on" in line for line in service.lines), service.lines
    service.popen.stdin.close()


@pytest.mark.skipif(not shutil.which("systemd-socket-activate"), reason="there is no systemd here")
def test_systemd_itself_hands_a_socket_over(example, tmp_path):
    # Nobody else takes ports of this address, so it can be listened on again.
    held, address = listening("127.0.0.9")
    held.close()
    file = configuration(tmp_path, example(), f'listen.address = "{address}"')
    # It starts the program when the first client comes.
    service = Process(["systemd-socket-activate", "-l", address, TRUNKLINE, "run", "--config", file])
    service.line(lambda line: line.startswith("Listening on"))
    ann = connect(address)
    assert recv(ann) == "* ann has joined"
    service.signal(signal.SIGTERM)
    assert service.wait() == 0
    service.popen.stdin.close()


@pytest.fixture
def manager(tmp_path):
    """Where a service manager is told things, and what it hears there."""
    told = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    told.bind(str(tmp_path / "notify"))
    told.settimeout(DEADLINE)
    yield told
    told.close()


def hear(manager):
    return manager.recv(4096).decode().split("\n")


def test_a_service_manager_hears_of_a_reload_and_that_a_wrong_file_changes_nothing(example, manager, tmp_path):
    file = configuration(tmp_path, example(), 'listen.address = "127.0.0.1:0"')
    service = Process([TRUNKLINE, "run", "--config", file], env={"NOTIFY_SOCKET": manager.getsockname()})
    assert hear(manager)[0] == "READY=1"
    right = file.read_text()
    for text, said in [
        ("log.level = \"warn\"\n" + right, "changed by a reload"),
        (right + "nonsense = 1\n", "nothing has changed"),
    ]:
        file.write_text(text)
        service.signal(signal.SIGHUP)
        began, ended = hear(manager), hear(manager)
        assert began[0] == "RELOADING=1" and re.fullmatch(r"MONOTONIC_USEC=\d+", began[1]), began
        assert ended[0] == "READY=1", ended
        if said != "changed by a reload":  # At "warn" that is not said any more.
            service.line(lambda line: said in line)
    service.signal(signal.SIGTERM)
    assert service.wait() == 0
    service.popen.stdin.close()


@pytest.mark.parametrize("told_by", ["a signal", "an operator"])
def test_a_service_manager_hears_when_it_is_ready_and_when_it_stops(example, manager, tmp_path, told_by):
    file = configuration(tmp_path, example(), 'listen.address = "127.0.0.1:0"\nadmin.address = "127.0.0.1:0"')
    env = {"NOTIFY_SOCKET": manager.getsockname(), "WATCHDOG_USEC": ""}
    service = Process([TRUNKLINE, "run", "--config", file], env=env)
    ready = hear(manager)
    assert "READY=1" in ready
    # It really listens by then.
    address = re.search(r"127\.0\.0\.1:\d+", ready[1])[0]
    ann = connect(address)
    assert recv(ann) == "* ann has joined"
    if told_by == "a signal":
        service.signal(signal.SIGTERM)
    else:
        listening = json.loads(service.line(lambda line: '"listening"' in line))
        admin = re.search(r"127\.0\.0\.1:\d+", listening["admin"])[0]
        headers = {"Content-Type": "application/json"}
        drain = urllib.request.Request(f"http://{admin}/api/v1/drain", method="POST", headers=headers)
        urllib.request.urlopen(drain, timeout=DEADLINE).close()
    assert "STOPPING=1" in hear(manager), "and nothing of a watchdog, for there is none"
    assert service.wait() == 0
    service.popen.stdin.close()


def test_a_watchdog_is_fed_as_long_as_the_gateway_turns(example, manager, tmp_path):
    file = configuration(tmp_path, example(), 'listen.address = "127.0.0.1:0"')
    env = {"NOTIFY_SOCKET": manager.getsockname(), "WATCHDOG_USEC": "90000"}
    service = Process([TRUNKLINE, "run", "--config", file], env=env)
    heard = [hear(manager)[0] for _ in range(20)]
    assert heard.count("READY=1") == 1 and heard.count("WATCHDOG=1") >= 15, heard
    service.kill()


def test_health_asks_a_gateway_without_another_program(example, gateway):
    trunkline = gateway(lobby(example()))
    ask = lambda path: subprocess.run(
        [TRUNKLINE, "health", f"http://{trunkline.address}{path}"], capture_output=True, text=True, timeout=DEADLINE)
    well = ask("/healthz")
    assert (well.returncode, well.stdout) == (0, '{"alive":true}\n')
    ill = ask("/nowhere")
    assert ill.returncode == 1 and "404" in ill.stderr
    trunkline.kill()
    gone = ask("/healthz")
    assert gone.returncode == 1 and "cannot connect" in gone.stderr


UNITS = ROOT / "docs/operation/systemd"


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="there is no systemd here")
def test_the_units_are_sound_and_hardened(tmp_path):
    for unit in UNITS.iterdir():
        (tmp_path / unit.name).write_text(unit.read_text().replace("/usr/local/bin/trunkline", TRUNKLINE))
    run_in = {"cwd": tmp_path, "capture_output": True, "text": True, "timeout": DEADLINE}
    verified = subprocess.run(["systemd-analyze", "verify", "--man=no", *(f"./{unit.name}" for unit in UNITS.iterdir())], **run_in)
    assert (verified.returncode, verified.stderr) == (0, "")
    rated = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=15", "--no-pager", "./trunkline.service"], **run_in)
    assert rated.returncode == 0, rated.stdout


COMMANDS = ["run", "check", "token", "connect", "conformance", "health", "completions", "man"]


def run(*arguments):
    done = subprocess.run([TRUNKLINE, *map(str, arguments)], capture_output=True, text=True, timeout=DEADLINE)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completions_name_each_command_and_the_shell_takes_them(shell, tmp_path):
    script = run("completions", shell)
    for word in [*COMMANDS, "config", "only"]:
        assert re.search(rf"\b{word}\b", script), word
    if shutil.which(shell):
        file = tmp_path / "completions"
        file.write_text(script)
        assert subprocess.run([shell, "-n", file], timeout=DEADLINE).returncode == 0


def test_completing_a_command_in_bash(tmp_path):
    file = tmp_path / "completions"
    file.write_text(run("completions", "bash"))
    script = f'. {file}; COMP_WORDS=(trunkline con); COMP_CWORD=1; _trunkline trunkline con trunkline; echo "${{COMPREPLY[@]}}"'
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=DEADLINE)
    assert sorted(done.stdout.split()) == ["conformance", "connect"], done


def test_there_is_a_manual_page_for_each_command(tmp_path):
    main = run("man")
    assert main.lstrip().startswith(".ie") or ".TH trunkline 1" in main
    run("man", tmp_path)
    pages = {file.name: file.read_text() for file in tmp_path.iterdir()}
    assert {"trunkline.1", *(f"trunkline-{command}.1" for command in COMMANDS)} <= pages.keys()
    for command in COMMANDS:
        assert f"trunkline\\-{command}" in pages["trunkline.1"], command
    assert "reopen" in pages["trunkline-conformance.1"]
    if shutil.which("man"):
        shown = subprocess.run(["man", "--warnings", "-l", tmp_path / "trunkline-conformance.1"], capture_output=True,
                               text=True, timeout=DEADLINE, env={**os.environ, "MANPAGER": "cat", "LC_ALL": "C.UTF-8"})
        assert "Play the gateway" in shown.stdout
