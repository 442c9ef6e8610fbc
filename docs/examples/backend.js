// A chat behind Trunkline: what one user says in a lobby, everyone in that lobby hears.
//   npm install ws && node backend.js 9000
const { WebSocketServer } = require("ws");

const lobbyOf = new Map(); // By user. No object: a user may be called "__proto__".

const server = new WebSocketServer({ port: Number(process.argv[2] ?? 9000), maxPayload: 16 << 20 });
server.on("listening", () => console.log(`listening on ${server.address().port}`));
server.on("connection", (link) => { // The gateway makes one, and after a break the next.
  const act = (action, username, rest) => link.send(JSON.stringify({ action, user: { username }, ...rest }));
  const tell = (lobby, line) => {
    for (const [user, its] of lobbyOf) if (its === lobby) act("send", user, { data: line });
  };
  link.on("error", console.error); // The gateway dials again.
  link.on("message", (frame) => {
    const { event, user: { username: user }, params: { lobby_id: lobby }, data } = JSON.parse(frame);
    const quits = event === "message" && data === "/quit";
    if (quits) act("close", user, { status: 4000, reason: "bye" }); // We shall hear no `close`.
    if (quits || event === "close") {
      if (lobbyOf.delete(user)) tell(lobby, `* ${user} has left`); // One whom we do not know is ignored.
    } else if (event === "message") {
      tell(lobby, `${user}: ${data}`);
    } else if (event === "open" && lobbyOf.get(user) !== lobby) { // Else only the link was broken.
      lobbyOf.set(user, lobby);
      tell(lobby, `* ${user} has joined`);
    }
  });
});
