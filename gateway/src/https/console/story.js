// The search: everything that the frame tells of an owner, a command or a hold, in tables.

import { ask, make, table } from "./console.js";

// What is not there, and what one may not see, is nothing.
async function found(path) {
  try {
    return await ask(path);
  } catch (problem) {
    if (problem.status === 404 || problem.status === 400) return null;
    throw problem;
  }
}

function flat(value, head = "") {
  if (value === null || typeof value !== "object") return [[head, String(value)]];
  return Object.entries(value).flatMap(([key, inner]) => flat(inner, head ? `${head}.${key}` : key));
}

function put(title, value) {
  const lines = make("table");
  lines.append(make("caption", title), make("tbody"));
  const box = make("div", "", { class: "wide" });
  box.append(lines);
  document.getElementById("found").append(box);
  table(lines, flat(value));
}

async function search(id, owner) {
  const segment = encodeURIComponent;
  const { assets } = await ask("/api/v1/projections/supply-audit");
  const wanted = [];
  for (const { asset, name } of assets) {
    wanted.push([`Account in ${name}`, `/v1/accounts/${segment(id)}/${asset}`]);
    if (owner) wanted.push([`Hold in ${name}`, `/v1/holds/${segment(owner)}/${asset}/${segment(id)}`]);
  }
  const scope = owner ? `?owner=${segment(owner)}` : "";
  wanted.push(["Command", `/v1/commands/${segment(id)}${scope}`]);
  let count = 0;
  for (const [title, path] of wanted) {
    const value = await found(path);
    if (value !== null) {
      put(title, value);
      count += 1;
    }
  }
  return count;
}

// Makes the form work.
export function searching() {
  const form = document.getElementById("search");
  const said = document.getElementById("found-text");
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const [id, owner] = ["id", "owner"].map((name) => form.elements[name].value.trim());
    document.getElementById("found").replaceChildren();
    said.textContent = "Searching…";
    try {
      const count = await search(id, owner);
      said.textContent = count === 0 ? "Nothing is found, or you may not see it." : `Found: ${count}.`;
    } catch (problem) {
      said.textContent = `The frame does not answer: ${problem.message}`;
    }
  });
}
