// A row's page: the player once there is a video, progress and what is rendered so far before.

import { listen } from "./events.js";
import { LiveVideo } from "./live.js";
import { Player } from "./player.js";

const root = document.querySelector(".player");
if (root) {
  const player = new Player(root); // its keys and buttons work at once, whenever the clock comes
  fetch(root.dataset.clock)
    .then((answer) => answer.ok && answer.json())
    .then((facts) => facts && player.setClock(facts))
    .catch(() => {}); // without, both videos run alike
}

const ASKED_EVERY_MS = 2000;

const live = document.getElementById("live");
if (live) {
  const bar = live.querySelector("progress");
  const stage = live.querySelector('[data-part="stage"]');
  const video = new LiveVideo(live.querySelector("video"), live.querySelector('[data-part="note"]'), live.dataset.live);
  const asking = setInterval(() => video.begin(), ASKED_EVERY_MS);
  const progressed = (event) => {
    const { id, ...progress } = JSON.parse(event.data);
    if (id !== live.dataset.job) return;
    bar.max = progress.frames_total || 1;
    bar.value = progress.frames_done;
    stage.textContent = progress.stage + (progress.frames_total ? `, ${progress.frames_done} of ${progress.frames_total} frames` : "");
  };
  const changed = (event) => {
    const { id, status } = JSON.parse(event.data);
    if (id !== live.dataset.job || ["pending", "processing"].includes(status)) return;
    end();
    clearInterval(asking);
    if (!video.isWatched) location.reload();
    else video.note.replaceChildren("The whole video is there: ", Object.assign(document.createElement("a"), { href: location.href, textContent: "compare it with the original." }));
  };
  const end = listen(live.dataset.events, { progress: progressed, status: changed });
}
