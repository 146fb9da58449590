// What every page of the studio has: the theme, keys, messages, errors of requests.

/** Whether a key is the focused element's own: text in a field, the arrows of a slider, the space of a button. */
function isTaken({ key, target }) {
  if (!(target instanceof HTMLElement)) return false;
  if (target.matches("button, summary")) return key === " ";
  if (target.matches('input[type="range"]')) return key.startsWith("Arrow");
  return target.isContentEditable || target.matches("input, select, textarea");
}

/** Shows a message for some seconds, and reads it aloud. */
export function say(text, isBad = false) {
  const box = document.createElement("div");
  box.textContent = text;
  if (isBad) box.className = "bad";
  document.getElementById("says").append(box);
  setTimeout(() => box.remove(), isBad ? 12000 : 5000);
}

/** The message of an answer that is an error, whichever of its two shapes it has. */
export async function reasonOf(answer) {
  const text = await answer.text();
  try {
    const message = JSON.parse(text).message;
    return Array.isArray(message) ? message.join(" ") : String(message);
  } catch {
    return text || `The server answered ${answer.status}.`;
  }
}

const keys = new Map();

/** Gives a key to a page: `act` is called where the focused element has no use for it. */
export function onKey(key, act) {
  keys.set(key, act);
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || isTaken(event)) return;
  const act = keys.get(event.key);
  if (!act) return;
  event.preventDefault();
  act(event);
});

onKey("?", () => document.getElementById("keys").showModal());
document.querySelectorAll(".bar nav a[accesskey]").forEach((link) => onKey(link.accessKey, () => link.click()));

document.getElementById("theme").addEventListener("click", () => {
  const root = document.documentElement;
  const isDark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = isDark ? "light" : "dark";
  localStorage.setItem("theme", root.dataset.theme);
});

document.addEventListener("htmx:responseError", async (event) => {
  const text = event.detail.xhr.responseText;
  try {
    say(JSON.parse(text).message, true);
  } catch {
    say(`The server answered ${event.detail.xhr.status}.`, true);
  }
});
document.addEventListener("htmx:sendError", () => say("The server cannot be reached. What was sent before is kept.", true));
