// The form of a new video: uploads, faces, the plan as one types, a preview, and the submission.

import { Faces } from "./faces.js";
import { say } from "./studio.js";
import { join } from "./toml_fields.js";
import { send } from "./upload.js";

const CHECK_MS = 500;
const form = document.getElementById("new");
const at = form.dataset.at;
const field = (name) => form.elements.namedItem(name);

const posted = (address, body, signal) =>
  fetch(address, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body), signal }).catch((error) => {
    if (error.name === "AbortError") throw error;
    throw new Error("The server cannot be reached. Nothing that was typed is lost.");
  });

/** What the server refused as an error: its message, and each problem with its field. */
function refusal(told) {
  const message = Array.isArray(told.message) ? told.message.join(" ") : told.message;
  return Object.assign(new Error(message), { problems: told.problems ?? [{ field: told.field ?? "", message }] });
}

const refusalOf = async (answer) => refusal(await answer.json().catch(() => ({ message: `The server answered ${answer.status}.` })));

async function asked(address, body, signal) {
  const answer = await posted(address, body, signal);
  if (!answer.ok) throw await refusalOf(answer);
  return answer.json();
}

const values = () => Object.fromEntries([...new FormData(form)].map(([name, value]) => [name, value]));
const isThere = (name) => Boolean(field(`${name}_asset`).value || field(`${name}_url`).value.trim());
const isSpoken = () => values().speech === "text";
const isReady = () => isThere("video") && (isSpoken() ? Boolean(field("text").value.trim()) : isThere("audio"));

// Problems beside the field that they belong to.

function clearProblems() {
  form.querySelectorAll("[data-problem]").forEach((one) => (one.textContent = ""));
  form.querySelectorAll("[aria-invalid]").forEach((one) => one.removeAttribute("aria-invalid"));
}

const controlOf = (name) => document.getElementById(`${name}-file`) ?? document.getElementById(name === "settings" ? "toml" : name);

/** Shows every problem of an error beside its field; `moves` puts the focus on the first one. */
function showProblems(error, moves) {
  const problems = error.problems ?? [{ field: "", message: error.message }];
  const controls = problems.map(({ field: of, message }) => {
    const own = form.querySelector(`[data-problem="${CSS.escape(of)}"]`);
    const place = own ?? form.querySelector('[data-problem=""]');
    place.textContent = [place.textContent, message].filter(Boolean).join(" ");
    const control = of && own ? controlOf(of) : null;
    control?.setAttribute("aria-invalid", "true");
    return control;
  });
  if (moves) controls.find(Boolean)?.focus();
}

// The plan, as one types.

const plan = document.getElementById("plan");
let timer = 0;
let checking = new AbortController();

const lasting = (seconds) => {
  const whole = Math.max(1, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  return whole < 3600 ? `${Math.round(whole / 60)} min` : `${(whole / 3600).toFixed(1)} h`;
};

function showPlan(found) {
  const least = lasting(found.least_s);
  const most = lasting(found.most_s);
  const lines = [
    ["length", lasting(found.seconds)],
    ["frames", String(found.frames)],
    ["time", least === most ? most : `${least} to ${most}`],
  ];
  const list = document.createElement("dl");
  list.className = "facts";
  for (const [name, text] of lines) {
    const pair = document.createElement("div");
    const term = document.createElement("dt");
    const said = document.createElement("dd");
    term.textContent = name;
    said.textContent = text;
    pair.append(term, said);
    list.append(pair);
  }
  const notes = [...found.costs, found.is_assumed ? "Time of one worker, by assumed speeds: nothing was measured here yet." : "Time of one worker, as the latest jobs here took."];
  plan.replaceChildren(
    list,
    ...notes.map((text) => {
      const note = document.createElement("p");
      note.className = "soft";
      note.textContent = text;
      return note;
    }),
  );
}

function planSays(text) {
  const note = document.createElement("p");
  note.className = "soft";
  note.textContent = text;
  plan.replaceChildren(note);
}

async function check() {
  checking.abort();
  checking = new AbortController();
  clearProblems();
  if (!isReady()) return planSays("Time and price are shown here once there is a video and its speech.");
  try {
    showPlan((await asked(`${at}/check`, values(), checking.signal)).plan);
  } catch (error) {
    if (error.name === "AbortError") return;
    planSays("It cannot be done as it stands.");
    showProblems(error, false);
  }
}

function changed() {
  clearTimeout(timer);
  timer = setTimeout(check, CHECK_MS);
}

// Uploads.

const faces = new Faces(
  form,
  (atS) => asked(`${at}/faces`, { video_asset: field("video_asset").value, video_url: field("video_url").value.trim(), at_s: atS, preset: values().preset }),
  (rule, words) => {
    const select = field("faces");
    select.querySelector("[data-own]")?.remove();
    const option = new Option(words, rule, true, true);
    option.dataset.own = "";
    select.append(option);
    say(`Chosen: ${words}.`);
    changed();
  },
  (atS) => {
    if (!("typed" in start.dataset)) start.value = Math.round(atS * 100) / 100;
  },
);

// A preview begins where the still is, until another second is typed.
const start = document.getElementById("at");
start.addEventListener("input", () => {
  if (start.value === "") delete start.dataset.typed;
  else start.dataset.typed = "";
});

field("faces").addEventListener("change", () => faces.mark(field("faces").value));

form.querySelectorAll("[data-source]").forEach((box) => {
  const name = box.dataset.source;
  const file = box.querySelector('input[type="file"]');
  const sent = box.querySelector('[data-part="sent"]');
  const label = sent.querySelector('[data-part="name"]');
  const bar = sent.querySelector("progress");
  const problem = form.querySelector(`[data-problem="${name}"]`);
  let stop = new AbortController();

  function clear() {
    stop.abort();
    field(`${name}_asset`).value = "";
    delete box.dataset.has;
    sent.hidden = true;
    file.value = "";
    if (name === "video") faces.clear();
  }

  async function take(chosen) {
    clear();
    const mine = (stop = new AbortController());
    problem.textContent = "";
    box.dataset.has = "";
    sent.hidden = false;
    bar.hidden = false;
    label.textContent = `${chosen.name}: 0 %`;
    try {
      const id = await send(
        chosen,
        form.dataset.uploads,
        (share) => {
          bar.value = share;
          label.textContent = `${chosen.name}: ${Math.floor(100 * share)} %`;
        },
        mine.signal,
      );
      field(`${name}_asset`).value = id;
      bar.hidden = true;
      label.textContent = chosen.name;
      say(`${chosen.name} is here.`);
      if (name === "video") faces.show();
      changed();
    } catch (error) {
      if (error.name === "AbortError") return;
      clear();
      problem.textContent = error.message;
    }
  }

  file.addEventListener("change", () => file.files[0] && take(file.files[0]));
  box.querySelector('[data-do="clear"]').addEventListener("click", () => {
    clear();
    changed();
    file.focus();
  });
  box.addEventListener("dragover", (event) => {
    event.preventDefault();
    box.dataset.over = "";
  });
  box.addEventListener("dragleave", () => delete box.dataset.over);
  box.addEventListener("drop", (event) => {
    event.preventDefault();
    delete box.dataset.over;
    if (event.dataTransfer.files[0]) take(event.dataTransfer.files[0]);
  });
});
field("video_url").addEventListener("change", () => {
  if (field("video_asset").value) return; // the file that was sent counts
  if (field("video_url").value.trim()) faces.show();
  else faces.clear();
});
["dragover", "drop"].forEach((kind) => window.addEventListener(kind, (event) => event.preventDefault())); // a miss leaves the page

form.querySelectorAll('[name="speech"]').forEach((choice) =>
  choice.addEventListener("change", () => {
    form.querySelectorAll("[data-speech]").forEach((box) => (box.hidden = box.dataset.speech !== values().speech));
  }),
);

join([...form.querySelectorAll("[data-setting]")], document.getElementById("toml"), changed);
form.addEventListener("input", changed);

// Preview and submission.

const preview = document.getElementById("preview");
const previewSays = document.getElementById("preview-say");
const see = document.getElementById("see");

const frames = document.getElementById("preview-frames");
const bar = document.getElementById("preview-bar");

function showProgress({ stage, done, total }) {
  frames.hidden = false;
  frames.textContent = total ? `${stage}: ${done} of ${total} frames` : `${stage} …`;
  if (total) {
    bar.max = total;
    bar.value = done;
  } else bar.removeAttribute("value");
}

/** The lines of an answer as they come, each as a value. */
async function* linesOf(answer) {
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    const lines = (rest + part.value).split("\n");
    rest = lines.pop();
    for (const line of lines.filter(Boolean)) yield JSON.parse(line);
  }
}

async function makePreview() {
  const answer = await posted(`${at}/preview`, { form: values(), at_s: Number(start.value) || 0 });
  if (!answer.ok) throw await refusalOf(answer);
  for await (const told of linesOf(answer)) {
    if (told.video) return told;
    if (told.message) throw refusal(told);
    showProgress(told);
  }
  throw new Error("The server stopped before the preview was done. Ask for it again.");
}

see.addEventListener("click", async () => {
  clearProblems();
  see.disabled = true;
  bar.removeAttribute("value");
  bar.hidden = false;
  previewSays.textContent = "The preview is being made; you may go on here.";
  try {
    const made = await makePreview();
    preview.hidden = false;
    preview.querySelector("video").src = made.video;
    preview.querySelector('[data-part="notes"]').replaceChildren(
      ...made.notes.map((text) => {
        const note = document.createElement("p");
        note.className = "soft";
        note.textContent = text;
        return note;
      }),
    );
    previewSays.textContent = "The preview is ready.";
  } catch (error) {
    previewSays.textContent = "There is no preview.";
    showProblems(error, true);
  } finally {
    see.disabled = false;
    bar.hidden = true;
    frames.hidden = true;
  }
});

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  clearTimeout(timer);
  checking.abort();
  clearProblems();
  const button = form.querySelector('button[type="submit"]');
  button.disabled = true;
  try {
    location.assign((await asked(`${at}/submit`, values())).page);
  } catch (error) {
    showProblems(error, true);
    button.disabled = false;
  }
});

window.addEventListener("pageshow", () => {
  form.querySelector('button[type="submit"]').disabled = false;
  form.querySelectorAll("[data-speech]").forEach((box) => (box.hidden = box.dataset.speech !== values().speech));
});
