# A chat behind Trunkline: what one user says in a lobby, everyone in that lobby hears.
#   pip install websockets && python backend.py 9000
import asyncio, json, sys
from websockets.asyncio.server import broadcast, serve

lobby_of = {}  # By user.

async def on_link(link):  # The gateway makes one, and after a break, which gets logged, the next.
    def act(action, user, **rest):  # Unlike `link.send`, `broadcast` never waits, and never fails on a broken link.
        broadcast([link], json.dumps({"action": action, "user": {"username": user}, **rest}))

    def tell(lobby, line):
        for user, its in lobby_of.items():
            if its == lobby:
                act("send", user, data=line)

    async for frame in link:  # Await nothing slow in here, but start a task: Pings would stay unanswered.
        heard = json.loads(frame)
        event, user, lobby = heard["event"], heard["user"]["username"], heard["params"]["lobby_id"]
        quits = event == "message" and heard["data"] == "/quit"
        if quits:
            act("close", user, status=4000, reason="bye")  # We shall hear no `close`.
        if quits or event == "close":
            if lobby_of.pop(user, None) is not None:  # One whom we do not know is ignored.
                tell(lobby, f"* {user} has left")
        elif event == "message":
            tell(lobby, f"{user}: {heard['data']}")
        elif event == "open" and lobby_of.get(user) != lobby:  # Else only the link was broken.
            lobby_of[user] = lobby
            tell(lobby, f"* {user} has joined")

async def main(port):
    async with serve(on_link, "127.0.0.1", port, max_size=16 << 20) as server:
        print("listening on", server.sockets[0].getsockname()[1], flush=True)
        await server.serve_forever()

asyncio.run(main(int(sys.argv[1]) if sys.argv[1:] else 9000))
