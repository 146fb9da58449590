// Fields of settings and the TOML beside them: what is changed in a field stands in the text, and what is typed there counts.

const quoted = (text) => JSON.stringify(text);

const asToml = (field) => (field.dataset.kind === "text" ? quoted(field.value) : field.value.trim());

const KEY = /^\s*([\w.-]+)\s*=\s*(.*?)\s*$/;
const SECTION = /^\s*\[([\w.-]+)\]\s*$/;

/** The values of a text as far as they stand on lines of their own, by their whole names. */
function valuesOf(text) {
  const found = new Map();
  let section = "";
  for (const line of text.split("\n")) {
    const head = SECTION.exec(line);
    if (head) section = `${head[1]}.`;
    const key = KEY.exec(line);
    if (key) found.set(section + key[1], key[2]);
  }
  return found;
}

function textOf(values) {
  const sections = new Map();
  for (const [name, value] of values) {
    const cut = name.lastIndexOf(".");
    const lines = sections.get(name.slice(0, cut)) ?? [];
    sections.set(name.slice(0, cut), [...lines, `${name.slice(cut + 1)} = ${value}`]);
  }
  return [...sections].map(([section, lines]) => `[${section}]\n${lines.join("\n")}`).join("\n\n");
}

export function join(fields, text, onChange) {
  fields.forEach((field) =>
    field.addEventListener("input", () => {
      const values = valuesOf(text.value);
      if (field.value.trim() === "") values.delete(field.dataset.setting);
      else values.set(field.dataset.setting, asToml(field));
      text.value = textOf(values);
      onChange();
    }),
  );
  text.addEventListener("input", () => {
    const values = valuesOf(text.value);
    fields.forEach((field) => {
      const value = values.get(field.dataset.setting) ?? "";
      field.value = field.dataset.kind === "text" ? value.replace(/^"(.*)"$/, "$1") : value;
    });
    onChange();
  });
}
