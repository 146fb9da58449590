// A whole manifest: checked as one types, its faults by line and column, its good rows submitted together.

import { reasonOf } from "./studio.js";

const CHECK_MS = 500;
const form = document.getElementById("manifest");
const single = document.getElementById("new");
const text = document.getElementById("manifest-text");
const says = document.getElementById("manifest-say");
const faults = form.querySelector('[data-part="faults"]');
const good = form.querySelector('[data-part="good"]');
const problem = form.querySelector('[data-part="problem"]');
const button = form.querySelector('button[type="submit"]');
let timer = 0;
let checking = new AbortController();

document.querySelectorAll("[data-tab]").forEach((tab) =>
  tab.addEventListener("click", () => {
    single.hidden = tab.dataset.tab !== "one";
    form.hidden = !single.hidden;
    document.querySelectorAll("[data-tab]").forEach((one) => one.setAttribute("aria-pressed", String(one === tab)));
  }),
);

const posted = (step, signal) =>
  fetch(`${form.dataset.at}/${step}`, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ text: text.value }), signal });

function cell(row, content, kind = "td") {
  const made = document.createElement(kind);
  made.textContent = content;
  row.append(made);
  return made;
}

function show(found) {
  const rows = (count) => `${count} ${count === 1 ? "row" : "rows"}`;
  says.textContent = found.bad ? `${rows(found.good)} good; ${found.bad} ${found.bad === 1 ? "fault" : "faults"} in ${rows(found.bad_rows)}.` : `${rows(found.good)}, all good.`;
  faults.hidden = !found.bad;
  faults.querySelector("tbody").replaceChildren(
    ...found.problems.map((one) => {
      const row = document.createElement("tr");
      const line = cell(row, one.line, "th");
      line.scope = "row";
      line.className = "number";
      cell(row, one.column).className = "mono";
      cell(row, one.message);
      return row;
    }),
  );
  good.hidden = !found.good;
  good.querySelector("ul").replaceChildren(
    ...found.rows.map((one) => {
      const item = document.createElement("li");
      item.textContent = `line ${one.line}: ${one.name}`;
      return item;
    }),
  );
  button.disabled = !found.good;
  button.textContent = found.good ? `Submit ${rows(found.good)}` : "Submit";
}

async function check() {
  checking.abort();
  checking = new AbortController();
  problem.textContent = "";
  if (!text.value.trim()) {
    show({ good: 0, bad: 0, bad_rows: 0, rows: [], problems: [] });
    says.textContent = "Nothing was typed yet.";
    return;
  }
  try {
    const answer = await posted("check", checking.signal);
    if (!answer.ok) throw new Error(await reasonOf(answer));
    show(await answer.json());
  } catch (error) {
    if (error.name !== "AbortError") problem.textContent = error.message;
  }
}

text.addEventListener("input", () => {
  button.disabled = true; // until it is known what of it is good
  clearTimeout(timer);
  timer = setTimeout(check, CHECK_MS);
});

document.getElementById("manifest-file").addEventListener("change", async (event) => {
  const file = event.target.files[0];
  if (!file) return;
  text.value = await file.text();
  check();
});

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  button.disabled = true;
  try {
    const answer = await posted("submit");
    if (!answer.ok) throw new Error(await reasonOf(answer));
    location.assign((await answer.json()).page);
  } catch (error) {
    problem.textContent = error.message;
    button.disabled = false;
  }
});
