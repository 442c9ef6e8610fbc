#!/usr/bin/env python3
"""What the flight recorder costs under load: one gateway in a closed loop, whose recorder is switched on and off by
reload, again and again in random order. Needs `cargo build --release`, and Linux with /proc/PID/schedstat.

    tests/compare/recorder.py [SECONDS] [CLIENTS] [PAYLOAD]        60 seconds, 1,000 clients, 256 bytes
"""

import os
import pathlib
import random
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

RELEASE = pathlib.Path(__file__).resolve().parent.parent.parent / "target" / "release"
# How long it is measured between two reloads, and how long a reload is given.
SPAN, SETTLES = 0.6, 0.1
MESSAGES = re.compile(r"^trunkline_messages_total\{.*\} (\d+)", re.MULTILINE)


def wait_for(what, seconds=10):
    deadline = time.monotonic() + seconds
    while not (found := what()):
        if time.monotonic() > deadline:
            sys.exit("the gateway does not start")
        time.sleep(0.05)
    return found


def cpu_us(pid):
    """Time on a processor of all threads."""
    tasks = pathlib.Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e3


def main():
    seconds, clients, payload = [int(given) for given in sys.argv[1:]] + [60, 1000, 256][len(sys.argv) - 1:]
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        config, number, wrapper = folder / "trunkline.toml", folder / "pid", folder / "gateway"
        with socket.create_server(("127.0.0.1", 0)) as free:
            admin = "127.0.0.1:%d" % free.getsockname()[1]
        # What the load tool takes for the gateway: two lines more in the configuration, and a copy that can be changed.
        wrapper.write_text(
            "#!/bin/sh\nfor last; do :; done\n"
            f"{{ echo 'admin.address = \"{admin}\"'; echo 'recording.bytes_max = \"1MiB\"'; cat \"$last\"; }} >{config}\n"
            f"echo $$ >{number}\nexec {RELEASE}/trunkline run --config {config}\n"
        )
        wrapper.chmod(0o755)
        load = [RELEASE / "trunkline-load", "fast", "--gateway", wrapper, "--seconds", str(seconds + 5)]
        load = subprocess.Popen([*load, "--clients", str(clients), "--payload", str(payload)], stdout=subprocess.DEVNULL)

        def messages():
            try:
                text = urllib.request.urlopen(f"http://{admin}/metrics", timeout=10).read().decode()
            except OSError:
                return 0
            return sum(map(int, MESSAGES.findall(text)))

        wait_for(lambda: messages() > 100_000)
        pid = int(number.read_text())
        on = config.read_text()
        texts, taken = {True: on, False: on.replace('"1MiB"', "0", 1)}, {True: [], False: []}
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for way in random.sample([True, False], 2):
                config.write_text(texts[way])
                os.kill(pid, signal.SIGHUP)
                time.sleep(SETTLES)
                before, began = messages(), cpu_us(pid)
                time.sleep(SPAN)
                taken[way].append((cpu_us(pid) - began) / (messages() - before))
        load.wait()
    ratios = sorted(on / off for on, off in zip(taken[True], taken[False]))
    first, middle, last = statistics.quantiles(ratios, n=4)
    medians = {way: statistics.median(values) for way, values in taken.items()}
    print(f"{len(ratios)} pairs; us per message: on {medians[True]:.2f}, off {medians[False]:.2f}")
    print(f"on to off: {middle:.3f} (half of them {first:.3f}-{last:.3f}); of the medians {medians[True] / medians[False]:.3f}")


if __name__ == "__main__":
    main()
