// The queue's list: progress in place, and a fresh list where a job was added or has ended.

const list = document.getElementById("queue");
const REFRESH_MS = 1000;
let isWaiting = false;

function refresh() {
  if (isWaiting) return;
  isWaiting = true;
  setTimeout(() => {
    isWaiting = false;
    if (!list.contains(document.activeElement) || document.activeElement.tagName !== "INPUT") window.htmx.trigger(list, "refresh");
  }, REFRESH_MS);
}

const lasting = (seconds) => (seconds < 60 ? `${Math.round(seconds)} s` : `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`);

function show({ id, ...progress }) {
  const row = list.querySelector(`[data-job="${CSS.escape(id)}"]`);
  if (!row) return;
  row.querySelector('[data-part="progress"]').hidden = false;
  const bar = row.querySelector("progress");
  bar.max = progress.frames_total || 1;
  bar.value = progress.frames_done;
  const frames = progress.frames_total ? `, ${progress.frames_done} of ${progress.frames_total} frames` : "";
  const left = progress.eta_s === null ? "" : `, ${lasting(progress.eta_s)} left`;
  row.querySelector('[data-part="stage"]').textContent = progress.stage + frames + left;
}

const events = new EventSource(list.dataset.events);
events.addEventListener("status", refresh);
events.addEventListener("resync", refresh);
events.addEventListener("progress", (event) => show(JSON.parse(event.data)));
events.addEventListener("open", refresh);
