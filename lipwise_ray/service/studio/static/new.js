// The form of a new video: uploads, faces, the plan as one types, a preview, and the submission.

import { Faces } from "./faces.js";
import { say } from "./studio.js";
import { join } from "./toml_fields.js";
import { send } from "./upload.js";

const CHECK_MS = 500;
const form = document.getElementById("new");
const at = form.dataset.at;
const field = (name) => form.elements.namedItem(name);

async function asked(address, body, signal) {
  const answer = await fetch(address, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body), signal }).catch((error) => {
    if (error.name === "AbortError") throw error;
    throw new Error("The server cannot be reached. Nothing that was typed is lost.");
  });
  const told = await answer.json().catch(() => ({ message: `The server answered ${answer.status}.` }));
  if (answer.ok) return told;
  const problem = new Error(Array.isArray(told.message) ? told.message.join(" ") : told.message);
  problem.field = told.field ?? "";
  throw problem;
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

function showProblem(error, moves) {
  const name = form.querySelector(`[data-problem="${CSS.escape(error.field ?? "")}"]`) ? (error.field ?? "") : "";
  form.querySelector(`[data-problem="${CSS.escape(name)}"]`).textContent = error.message;
  const control = name ? controlOf(name) : null;
  control?.setAttribute("aria-invalid", "true");
  if (moves && control) control.focus();
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
  if (!isReady()) return planSays("Time and price are told here once video and speech are there.");
  try {
    showPlan((await asked(`${at}/check`, values(), checking.signal)).plan);
  } catch (error) {
    if (error.name === "AbortError") return;
    planSays("It cannot be done as it stands.");
    showProblem(error, false);
  }
}

function changed() {
  clearTimeout(timer);
  timer = setTimeout(check, CHECK_MS);
}

// Uploads.

const faces = new Faces(
  form,
  (atS) => asked(`${at}/faces`, { video_asset: field("video_asset").value, at_s: atS, preset: values().preset }),
  (rule, words) => {
    const select = field("faces");
    select.querySelector("[data-own]")?.remove();
    const option = new Option(words, rule, true, true);
    option.dataset.own = "";
    select.append(option);
    say(`Chosen: ${words}.`);
    changed();
  },
);

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
      if (name === "video") faces.show(0);
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

see.addEventListener("click", async () => {
  clearProblems();
  see.disabled = true;
  document.getElementById("preview-bar").hidden = false;
  previewSays.textContent = "The preview is being made; you may go on here.";
  try {
    const made = await asked(`${at}/preview`, { form: values(), at_s: 0 });
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
    showProblem(error, true);
  } finally {
    see.disabled = false;
    document.getElementById("preview-bar").hidden = true;
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
    showProblem(error, true);
    button.disabled = false;
  }
});

window.addEventListener("pageshow", () => {
  form.querySelector('button[type="submit"]').disabled = false;
  form.querySelectorAll("[data-speech]").forEach((box) => (box.hidden = box.dataset.speech !== values().speech));
});
