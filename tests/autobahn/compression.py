#!/usr/bin/env python3
"""What permessage-deflate would cost: memory of a connection, CPU of a message, what a bomb does. The figures in
docs/decisions/no-compression.md are its output; zlib is the system's.
"""

import json
import multiprocessing
import pathlib
import random
import time
import zlib

CONNECTIONS = 400
MESSAGES = 4000
# RFC 7692, section 7.2.1: each message ends with an empty block whose last four bytes are not sent.
TAIL = b"\x00\x00\xff\xff"


def messages(size):
    """Different ones of one shape, of exactly `size` bytes: identifiers and numbers around words."""
    chance, words = random.Random(7), "the a lobby player has moved left joined wins hello to and with gold".split()
    while True:
        text = " ".join(chance.choice(words) for _ in range(size // 6))
        message = {"event": "chat", "id": f"{chance.getrandbits(64):016x}", "at": chance.randrange(10**12)}
        yield (json.dumps({**message, "data": text})[: size - 2] + '"}').encode().ljust(size)


def resident():
    pages = pathlib.Path("/proc/self/statm").read_text().split()[1]
    return int(pages) * 4096


def pair(bits, level=8):
    return zlib.compressobj(6, zlib.DEFLATED, -bits, level), zlib.decompressobj(-bits)


def there_and_back(deflate, inflate, message):
    packed = (deflate.compress(message) + deflate.flush(zlib.Z_SYNC_FLUSH))[:-4]
    return packed, inflate.decompress(packed + TAIL)


def memory(bits, level):
    """Bytes for each connection that keeps its window in both directions and has been used."""
    text = [next(source) for source in [messages(1024)] for _ in range(80)]
    before, kept = resident(), []
    for _ in range(CONNECTIONS):
        kept.append(pair(bits, level))
        for message in text:
            there_and_back(*kept[-1], message)
    return (resident() - before) / CONNECTIONS


def cost(size, bits, level, keeps):
    """Microseconds of CPU to compress and to decompress a message, and what is left of it."""
    source, (deflate, inflate) = messages(size), pair(bits, level)
    spent, left = [0, 0], 0
    for message in [next(source) for _ in range(MESSAGES)]:
        start = time.process_time_ns()
        if not keeps:
            deflate = zlib.compressobj(6, zlib.DEFLATED, -bits, level)
        packed = (deflate.compress(message) + deflate.flush(zlib.Z_SYNC_FLUSH))[:-4]
        middle = time.process_time_ns()
        if not keeps:
            inflate = zlib.decompressobj(-bits)
        assert inflate.decompress(packed + TAIL) == message
        spent[0] += middle - start
        spent[1] += time.process_time_ns() - middle
        left += len(packed)
    return [ns / MESSAGES / 1000 for ns in spent] + [100 * left / MESSAGES / size]


def main():
    print(f"zlib {zlib.ZLIB_RUNTIME_VERSION}; {CONNECTIONS} connections, {MESSAGES} messages each")
    for bits, level in ((15, 8), (12, 5), (9, 1)):
        # Each in a process of its own, which has freed nothing yet.
        with multiprocessing.get_context("spawn").Pool(1) as process:
            kept = process.apply(memory, (bits, level)) / 1024
        print(f"window 2^{bits}, memLevel {level}: {kept:.0f} KiB for each connection")
    for size in (128, 1024):
        for bits, level, keeps in ((15, 8, True), (15, 8, False), (9, 1, True)):
            there, back, left = cost(size, bits, level, keeps)
            window = "kept" if keeps else "begun anew with each message"
            print(f"{size} bytes, window 2^{bits} {window}: {there:.1f} us and {back:.1f} us of CPU, {left:.0f} % left")
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb = deflate.compress(bytes(16 << 20)) + deflate.flush()
    start = time.process_time_ns()
    size = len(zlib.decompressobj(-15).decompress(bomb))
    print(f"a bomb: {len(bomb)} bytes become {size}, in {(time.process_time_ns() - start) / 1e6:.0f} ms of CPU")


if __name__ == "__main__":
    main()
