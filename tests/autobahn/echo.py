"""A backend that answers each message with itself, binary as binary; prints the port that it listens on."""

import asyncio
import json

from websockets.asyncio.server import serve


async def on_link(link):
    async for frame in link:
        event = json.loads(frame)
        if event["event"] == "message":
            kept = {name: event[name] for name in ("user", "data", "encoding") if name in event}
            await link.send(json.dumps({"action": "send", **kept}, ensure_ascii=False))


async def main():
    async with serve(on_link, "127.0.0.1", 0, max_size=None, compression=None) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await server.serve_forever()


asyncio.run(main())
