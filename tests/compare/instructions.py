#!/usr/bin/env python3
"""What the gateway itself does for a message there and back, counted and not timed: instructions outside the kernel, and
how much of its code they are spread over. The same on a busy machine as on a quiet one, to about a hundredth. Needs
`cargo build --release` and valgrind.

    tests/compare/instructions.py [PROGRAM]...        target/release/trunkline, or others beside it
"""

import collections
import pathlib
import re
import subprocess
import sys
import tempfile

RELEASE = pathlib.Path(__file__).resolve().parent.parent.parent / "target" / "release"
CLIENTS, PAYLOAD, SECONDS = 100, 128, 5
# Messages a second: what one run has more than the other is what messages cost. With less than 1 in 10 ms each would
# have a Ping of its own.
RATES = 800, 80
LINE, PAGE = 64, 4096


def counted(program, rate, folder):
    """How often each instruction was executed, by object and address."""
    found, wrapper = folder / f"{rate}.callgrind", folder / "gateway"
    wrapper.write_text(
        "#!/bin/sh\n"
        f"exec valgrind -q --tool=callgrind --dump-instr=yes --callgrind-out-file={found} {program} \"$@\"\n"
    )
    wrapper.chmod(0o755)
    load = [RELEASE / "trunkline-load", "fast", "--gateway", wrapper, "--rate", str(rate), "--clients", str(CLIENTS)]
    load += ["--payload", str(PAYLOAD), "--seconds", str(SECONDS)]
    subprocess.run(load, check=True, stdout=subprocess.DEVNULL)
    counts, address, part, of_a_call = collections.Counter(), 0, None, False
    for line in found.read_text().splitlines():
        if line.startswith("ob="):
            part = line[3:].split()[0]
        elif line.startswith("calls="):
            # The next line is what the call has cost: its instructions are counted where they stand.
            of_a_call = True
        elif cost := re.match(r"(0x[0-9a-f]+|[+-]\d+|\*) \S+ (\d+)$", line):
            place = cost[1]
            if place != "*":
                address = int(place, 16) if place.startswith("0x") else address + int(place)
            if not of_a_call:
                counts[part, address] += int(cost[2])
            of_a_call = False
    return counts


def main():
    messages = (RATES[0] - RATES[1]) * SECONDS
    for program in sys.argv[1:] or [RELEASE / "trunkline"]:
        with tempfile.TemporaryDirectory() as folder:
            many, few = (counted(pathlib.Path(program).resolve(), rate, pathlib.Path(folder)) for rate in RATES)
        instructions = (many.total() - few.total()) / messages
        # What is executed for at least every other message.
        used = [where for where, count in many.items() if count - few[where] >= messages / 2]
        lines, pages = ({(part, address // size) for part, address in used} for size in (LINE, PAGE))
        print(f"{program}: {instructions:,.0f} instructions a message, {len(lines)} lines of code in {len(pages)} pages")


main()
