// A gateway as one would write it by hand: `ws` on both sides, one link to the backend, the language of
// docs/language.md. It has none of the guarantees of Trunkline; it is here to be compared with.
//
// node gateway.js PORT BACKEND SECRET
const { createServer } = require("node:http");
const jwt = require("jsonwebtoken");
const { WebSocket, WebSocketServer } = require("ws");

const [port, backend, secret] = process.argv.slice(2);
const clients = new Map();

const link = new WebSocket(`ws://${backend}/`, { perMessageDeflate: false });
const tell = (event) => link.send(JSON.stringify(event));
link.on("message", (frame) => {
  const { action, user, data, status, reason } = JSON.parse(frame);
  const client = clients.get(user.username);
  if (!client) return;
  if (action === "send") client.send(data);
  else if (action === "close") client.close(status, reason);
});
link.on("close", () => process.exit(1));

const server = createServer((_, response) => response.writeHead(426).end());
const sockets = new WebSocketServer({ noServer: true, perMessageDeflate: false, maxPayload: 128 << 10 });
server.on("upgrade", (request, socket, head) => {
  const path = request.url.match(/^\/load\/([^/?]+)/);
  const bearer = request.headers.authorization?.match(/^Bearer (.+)$/);
  let claims;
  try {
    claims = jwt.verify(bearer[1], secret, { algorithms: ["HS256"] });
  } catch {
    return socket.end("HTTP/1.1 401 Unauthorized\r\n\r\n");
  }
  if (!path) return socket.end("HTTP/1.1 404 Not Found\r\n\r\n");
  sockets.handleUpgrade(request, socket, head, (client) => serve(client, claims.sub, { room: path[1] }));
});

function serve(client, username, params) {
  const user = { username };
  clients.get(username)?.close(1008);
  clients.set(username, client);
  tell({ event: "open", user, params });
  client.on("message", (data) => tell({ event: "message", user, params, data: data.toString() }));
  client.on("error", () => client.terminate());
  client.on("close", () => {
    if (clients.get(username) !== client) return;
    clients.delete(username);
    tell({ event: "close", user, params });
  });
}

link.on("open", () => server.listen(Number(port), "127.0.0.1", 4096));
