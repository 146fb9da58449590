// The queue's list: progress in place, a fresh list where a job was added or has ended, and its keys.

import { listen } from "./events.js";
import { onKey } from "./studio.js";

const list = document.getElementById("queue");
const quarantine = document.getElementById("quarantine");
const REFRESH_MS = 1000;
let isWaiting = false;
let focused = null;

const isTyping = () => list.contains(document.activeElement) && document.activeElement.tagName === "INPUT";

/** Asks for a fresh list, once a second at most, and not under the fingers of somebody who types in it. */
function refresh() {
  if (isWaiting) return;
  isWaiting = true;
  setTimeout(() => {
    isWaiting = false;
    if (isTyping()) refresh();
    else window.htmx.trigger(list, "refresh");
  }, REFRESH_MS);
}

const rowOf = (id) => list.querySelector(`[data-job="${CSS.escape(id)}"]`);
const here = () => document.activeElement?.closest?.("tr[data-job]");

// A fresh list has the focus where the old one had it.
document.addEventListener("htmx:beforeSwap", () => {
  const row = here();
  focused = row && { id: row.dataset.job, act: document.activeElement.dataset.do };
});
document.addEventListener("htmx:afterSettle", () => {
  const row = focused && rowOf(focused.id);
  if (row && !list.contains(document.activeElement)) (row.querySelector(`[data-do="${focused.act}"]`) ?? row.querySelector("a")).focus();
});

const lasting = (seconds) => (seconds < 60 ? `${Math.round(seconds)} s` : `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`);

function show({ id, ...progress }) {
  const row = rowOf(id);
  if (!row) return;
  row.querySelector('[data-part="progress"]').hidden = false;
  const bar = row.querySelector("progress");
  bar.max = progress.frames_total || 1;
  bar.value = progress.frames_done;
  const frames = progress.frames_total ? `, ${progress.frames_done} of ${progress.frames_total} frames` : "";
  const left = progress.eta_s === null ? "" : `, ${lasting(progress.eta_s)} left`;
  row.querySelector('[data-part="stage"]').textContent = progress.stage + frames + left;
}

function move(step) {
  const rows = [...list.querySelectorAll("tr[data-job]")];
  const at = rows.indexOf(here());
  rows[Math.min(Math.max(0, at + step), rows.length - 1)]?.querySelector("a").focus();
}

function raise(step) {
  const field = here()?.querySelector('input[name="priority"]');
  if (!field) return;
  field.value = Number(field.value) + step;
  field.dispatchEvent(new Event("change", { bubbles: true }));
}

const press = (act) => here()?.querySelector(`[data-do="${act}"]`)?.click();
onKey("j", () => move(1));
onKey("k", () => move(-1));
onKey("x", () => press("cancel"));
onKey("t", () => press("retry"));
onKey("+", () => raise(1));
onKey("-", () => raise(-1));

listen(list.dataset.events, {
  status: (event) => {
    refresh();
    if (JSON.parse(event.data).status === "failed" && !quarantine.querySelector("details[open]")) window.htmx.trigger(quarantine, "refresh");
  },
  resync: refresh,
  progress: (event) => show(JSON.parse(event.data)),
  open: refresh,
});
