// A chat behind Trunkline: what one user says in a lobby, everyone in that lobby hears.
//   npm install ws && node store_chat.js 9000
const { WebSocketServer } = require("ws");

// Stands in for a database: each call takes a while, so events are handled concurrently.
const lobbies = new Map(); // Maps and Sets, no objects: a user may be called "__proto__".
const call = () => new Promise((done) => setTimeout(done, Number(process.env.STORE_MS ?? 1)));
const members = (lobby) => call().then(() => new Set(lobbies.get(lobby)));
const add = (lobby, user) => call().then(() => lobbies.set(lobby, (lobbies.get(lobby) ?? new Set()).add(user)));
const remove = (lobby, user) => call().then(() => lobbies.get(lobby)?.delete(user));

let link; // The gateway makes one, and after a break the next; actions may go out on any.
const act = (action, username, rest) => link.send(JSON.stringify({ action, user: { username }, ...rest }));

async function tell(lobby, line) {
  for (const user of await members(lobby)) act("send", user, { data: line });
}

async function handle({ event, user: { username }, params: { lobby_id: lobby }, data }) {
  const isMember = (await members(lobby)).has(username);
  if (event === "open" && !isMember) { // A member who opens again was cut off from us; nothing has changed.
    await add(lobby, username);
    await tell(lobby, `* ${username} has joined`);
  } else if (event === "close" && isMember) { // One whom we do not know is nothing to us.
    await remove(lobby, username);
    await tell(lobby, `* ${username} has left`);
  } else if (event === "message" && data === "/quit") {
    await remove(lobby, username); // We end this session ourselves, so no `close` tells us to.
    act("close", username, { status: 4000, reason: "bye" });
    await tell(lobby, `* ${username} has left`);
  } else if (event === "message") {
    await tell(lobby, `${username}: ${data}`);
  }
}

const server = new WebSocketServer({ port: Number(process.argv[2] ?? 9000), maxPayload: 16 << 20 });
server.on("listening", () => console.log(`listening on ${server.address().port}`));
server.on("connection", (socket) => {
  link = socket;
  link.on("message", (frame) => handle(JSON.parse(frame)).catch(console.error));
  link.on("error", console.error); // The gateway dials again.
});
