// A backend in Node's `ws` that does what the suite tells it to, and tells the suite what it hears.
// Its standard input takes one JSON object a line: {"send": [fragments]} or {"close": [code, reason]}.
// Its standard output has one for each thing that happened: listening, frame, closed.
const { createInterface } = require("node:readline");
const { WebSocketServer } = require("ws");

const say = (what) => process.stdout.write(JSON.stringify({ at: performance.now() / 1000, ...what }) + "\n");
let [link, links] = [null, 0];

const server = new WebSocketServer({ port: Number(process.argv[2]), maxPayload: 64 << 20 });
server.on("listening", () => say({ listening: server.address().port }));
server.on("connection", (socket) => {
  const number = ++links;
  link = socket;
  say({ link: number, connected: true });
  socket.on("message", (data, binary) => say({ link: number, frame: data.toString(), binary }));
  socket.on("close", (code, reason) => say({ link: number, closed: [code, reason.toString()] }));
  socket.on("error", (error) => say({ link: number, error: String(error) }));
});

createInterface({ input: process.stdin }).on("line", (line) => {
  const { send, binary = false, close } = JSON.parse(line);
  if (close) link.close(...close);
  send?.forEach((part, i) => link.send(Buffer.from(part, "base64"), { binary, fin: i === send.length - 1 }));
});
