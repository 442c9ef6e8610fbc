"""A chat behind Trunkline: what one user says in a lobby, everyone in that lobby hears.

pip install websockets && python store_chat.py 9000
"""
import asyncio, contextlib, json, os, sys

from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed

lobbies = {}  # Stands in for a database: each call takes a while, so events are handled concurrently.
link = None  # The gateway makes one, and after a break the next; actions may go out on any.
running = set()


async def call(work):
    await asyncio.sleep(float(os.environ.get("STORE_MS", "1")) / 1000)
    return work()


def members(lobby):
    return call(lambda: set(lobbies.get(lobby, ())))


async def act(action, username, **rest):
    with contextlib.suppress(ConnectionClosed):  # The gateway dials again.
        await link.send(json.dumps({"action": action, "user": {"username": username}, **rest}))


async def tell(lobby, line):
    for user in await members(lobby):
        await act("send", user, data=line)


async def handle(event, user, params, data=None, **_):  # What later versions add is ignored.
    username, lobby = user["username"], params["lobby_id"]
    is_member = username in await members(lobby)
    if event == "open" and not is_member:  # A member who opens again was cut off from us; nothing has changed.
        await call(lambda: lobbies.setdefault(lobby, set()).add(username))
        await tell(lobby, f"* {username} has joined")
    elif event == "close" and is_member:  # One whom we do not know is nothing to us.
        await call(lambda: lobbies[lobby].discard(username))
        await tell(lobby, f"* {username} has left")
    elif event == "message" and data == "/quit":
        await call(lambda: lobbies[lobby].discard(username))  # We end this session, so no `close` tells us to.
        await act("close", username, status=4000, reason="bye")
        await tell(lobby, f"* {username} has left")
    elif event == "message":
        await tell(lobby, f"{username}: {data}")


async def on_link(socket):
    global link
    link = socket
    with contextlib.suppress(ConnectionClosed):
        async for frame in socket:  # Only starts tasks: while this loop waits, Pings stay unanswered.
            running.add(task := asyncio.create_task(handle(**json.loads(frame))))
            task.add_done_callback(running.discard)


async def main(port):
    async with serve(on_link, "127.0.0.1", port, max_size=16 << 20) as server:
        print("listening on", server.sockets[0].getsockname()[1], flush=True)
        await server.serve_forever()


asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 9000))
