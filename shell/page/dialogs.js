// Questions to whoever is in front of the page.
import { hasToken, keepToken } from "./api.js";
import { find, say } from "./dom.js";
import { name } from "./format.js";

/** Asks whether to close a session. Resolves to `"session"`, `"user"`, or `null` for neither. */
export function askToClose({ user, endpoint }) {
  const dialog = find("close-dialog");
  const known = name(user.length > 60 ? `${user.slice(0, 60)}…` : user);
  say(find("close-title"), `Close ${known}?`);
  say(find("close-text"), `The client is closed with 1008 “closed by an operator”, and its backend hears close. ` +
    `Nothing keeps it from coming back.`);
  say(find("close-session"), `Close on ${endpoint}`);
  say(find("close-user"), "Close everywhere");
  dialog.showModal();
  return answer(dialog, { "close-session": "session", "close-user": "user", "close-not": null });
}

function answer(dialog, choices) {
  return new Promise((resolve) => {
    const heard = new AbortController();
    const listen = (node, event, choice) =>
      node.addEventListener(event, () => {
        heard.abort();
        resolve(choice);
        dialog.close();
      }, { signal: heard.signal });
    for (const [id, choice] of Object.entries(choices)) listen(find(id), "click", choice);
    // Escape, too.
    listen(dialog, "close", null);
  });
}

/** Asks for a token, and keeps it. Whether it is right shows when it is used. */
export function askForToken() {
  const dialog = find("token-dialog");
  const form = dialog.querySelector("form");
  say(find("token-wrong"), hasToken() ? "The gateway does not take that one." : "");
  find("token").value = "";
  if (!dialog.open) dialog.showModal();
  return new Promise((resolve) => {
    const heard = new AbortController();
    // Without one nothing can be shown.
    dialog.addEventListener("cancel", (event) => event.preventDefault(), { signal: heard.signal });
    dialog.addEventListener("close", () => dialog.showModal(), { signal: heard.signal });
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      heard.abort();
      keepToken(find("token").value.trim());
      dialog.close();
      resolve();
    }, { signal: heard.signal });
  });
}
