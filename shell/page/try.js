// Two clients of the demo beside each other. What is said is shown as text.
import { get } from "./api.js";
import { element, find, say, set } from "./dom.js";

const LINES_MAX = 200;

class Client {
  #address;
  #socket = null;

  constructor(url, { user, token }) {
    // A browser cannot set a header on a WebSocket; the demo takes the token from the query, too.
    this.#address = `${url}?${new URLSearchParams({ token })}`;
    this.state = element("p", { class: "pill", role: "status" });
    this.lines = element("ol", { class: "lines", role: "log", "aria-label": `What ${user} hears`, tabindex: "0" });
    this.input = element("input", { "aria-label": `What ${user} says`, placeholder: "say something", autocomplete: "off", maxlength: "2000" });
    this.button = element("button", { type: "button", onclick: () => this.#turn() });
    this.node = element("section", { class: "client", "aria-label": user },
      element("div", { class: "head" }, element("h2", {}, user), this.state, this.button), this.lines,
      element("form", { onsubmit: (event) => this.#speak(event) }, this.input, element("button", { class: "primary" }, "Send")));
    this.connect();
  }

  connect() {
    const socket = new WebSocket(this.#address);
    this.#socket = socket;
    this.#show("waiting", "connecting", "Leave");
    socket.onopen = () => this.#show("live", "connected", "Leave");
    socket.onmessage = ({ data }) => this.#hear(data);
    socket.onclose = ({ code, reason }) => {
      if (this.#socket !== socket) return;
      this.#socket = null;
      this.#hear(code === 1006 ? "connection lost, or refused" : `closed: ${code} ${reason}`, "closed");
      this.#show("away", "not connected", "Connect");
    };
  }

  #turn() {
    if (this.#socket === null) this.connect();
    else this.#socket.close(1000, "bye");
  }

  #speak(event) {
    event.preventDefault();
    if (this.#socket?.readyState !== WebSocket.OPEN || this.input.value === "") return;
    this.#socket.send(this.input.value);
    this.input.value = "";
  }

  #hear(text, look = text.startsWith("* ") ? "soft" : false) {
    this.lines.append(element("li", { class: look }, text));
    if (this.lines.children.length > LINES_MAX) this.lines.firstElementChild.remove();
    this.lines.scrollTop = this.lines.scrollHeight;
  }

  #show(state, text, turn) {
    set(this.state, "data-state", state);
    say(this.state, text);
    say(this.button, turn);
  }
}

try {
  const { url, clients } = await get("/try/clients");
  say(find("url"), url);
  find("clients").append(...clients.map((client) => new Client(url, client).node));
} catch (error) {
  say(find("trouble"), error.message);
  find("trouble").hidden = false;
}
