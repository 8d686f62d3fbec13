// The public supply page. It asks its own host once a second, adds every term up again in whole
// numbers, and writes text; it never writes markup. It says OK only of what it has just been told
// and found to be so.

const ASK_EVERY_MS = 1000;
const PATIENCE_MS = 5000;
const STALE_MS = 10000;

// Name of a term, how it reads, and whether it is a sum of those above it.
const TERMS = [
  ["issued", "Issued", false],
  ["destroyed", "− Destroyed", false],
  ["net_supply", "= Net supply", true],
  ["liquid", "Liquid", false],
  ["held", "+ Held", false],
  ["staked", "+ Staked", false],
  ["bonded", "+ Bonded", false],
  ["circulating", "= Circulating", true],
  ["delta", "Delta: net supply − circulating", true],
  ["credit_granted", "Credit granted, which is no supply", false],
  ["credit_used", "Credit used, as negative liquid", false],
];

const part = (id) => document.getElementById(id);
const cards = new Map();
let told = null;
let keptShown;
let newsAt = performance.now();

function put(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function make(name, text, attributes = {}) {
  const element = document.createElement(name);
  if (text) element.textContent = text;
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}

async function ask(path) {
  const answer = await fetch(path, { signal: AbortSignal.timeout(PATIENCE_MS), credentials: "omit" });
  if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
  return answer.json();
}

// A decimal text as whole minor units; all of an asset have the same digits after the point.
const units = (text) => BigInt(text.replace(".", ""));

// Whether the terms of an asset agree, whatever the frame says of them.
function agrees(row) {
  try {
    const net = units(row.issued) - units(row.destroyed);
    const circulating = units(row.liquid) + units(row.held) + units(row.staked) + units(row.bonded);
    return net === circulating && units(row.delta) === 0n;
  } catch {
    return false;
  }
}

function grouped(text) {
  if (text === null) return "beyond what can be reckoned with";
  const [whole, fraction] = text.split(".");
  // A long one may break between its groups, not in them nor in what is behind the point.
  const spaced = whole.replace(/\B(?=(\d{3})+$)/g, "\u2009");
  return fraction === undefined ? spaced : `${spaced}.${fraction}`;
}

const time = (ms) => new Date(ms).toISOString().replace("T", " ").replace(/\.\d+Z$/, "");

function card(row) {
  const id = `asset-${row.asset}`;
  const section = make("section", "", { "aria-labelledby": id });
  const state = make("span", "", { class: "state" });
  const title = make("h2", `${row.name} (asset ${row.asset}): `, { id });
  title.append(state);
  const table = make("table");
  table.append(make("caption", `Every term of ${row.name}, in units with ${row.scale} digits`));
  const body = make("tbody");
  const cells = {};
  for (const [term, reads, isSum] of TERMS) {
    const line = make("tr", "", isSum ? { class: "sum" } : {});
    cells[term] = make("td", "", { class: "amount", "data-term": term });
    line.append(make("th", reads, { scope: "row" }), cells[term]);
    body.append(line);
  }
  table.append(body);
  section.append(title, table);
  section.dataset.asset = row.asset;
  part("assets").append(section);
  return { state, cells };
}

function show() {
  put(part("domain"), told.trust_domain);
  put(part("frame"), told.frame);
  put(part("version"), told.version);
  const halted = told.mint_halted ? " Minting is halted." : "";
  const place = told.sequence === 0 ? "; nothing executed yet" : ` at sequence ${told.sequence}`;
  put(part("checked"), `Checked ${time(told.checked)} UTC${place}.${halted}`);
  for (const row of told.assets) {
    if (!cards.has(row.asset)) cards.set(row.asset, card(row));
    const { state, cells } = cards.get(row.asset);
    for (const [term] of TERMS) put(cells[term], grouped(row[term]));
    const isOk = row.status === "OK" && agrees(row);
    put(state, isOk ? "OK" : "BREACH");
    state.dataset.status = isOk ? "ok" : "breach";
  }
}

function judge() {
  const quiet = performance.now() - newsAt;
  if (told === null || quiet > STALE_MS) {
    const seconds = Math.floor(quiet / 1000);
    return say("unknown", `UNKNOWN: no news from the frame for ${seconds} s.`);
  }
  const wrong = told.assets.filter((row) => !agrees(row)).map((row) => row.name);
  if (wrong.length > 0) {
    return say("breach", `BREACH: the terms of ${wrong.join(", ")} do not add up.`);
  }
  if (told.status !== "OK" || told.assets.some((row) => row.status !== "OK")) {
    return say("breach", "BREACH: the frame says that its books do not agree.");
  }
  say("ok", "OK: of every asset, what was issued and not destroyed is what the accounts have.");
}

function say(status, text) {
  const verdict = part("verdict");
  verdict.dataset.status = status;
  put(verdict, text);
  const title = `${status.toUpperCase()}: supply of ${told?.trust_domain ?? "a frame"}`;
  if (document.title !== title) document.title = title;
}

async function showHeads() {
  const past = await ask("/heads.json");
  const lines = past.heads.map((head) => {
    const line = make("tr");
    const books = make("td", head.status, { class: "state", "data-status": head.status.toLowerCase() });
    line.append(make("td", String(head.sequence)), make("td", time(head.time)), books);
    line.append(make("td", head.run_digest, { class: "digest" }));
    return line;
  });
  document.querySelector("#heads tbody").replaceChildren(...lines);
  const none = lines.length === 0 ? "None: nothing executed yet. " : "";
  put(document.querySelector("#heads caption"),
    `${none}The newest first; one each ${past.every_s} s at most, the last ${past.heads_max}, ` +
    `in memory since ${time(past.since)} UTC`);
}

async function look() {
  const news = await ask("/supply.json");
  if (told?.checked !== news.checked) newsAt = performance.now();
  told = news;
  show();
  if (news.kept !== keptShown) {
    await showHeads();
    keptShown = news.kept;
  }
}

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const seen = () => new Promise((resolve) => {
  document.addEventListener("visibilitychange", resolve, { once: true });
});

for (;;) {
  if (document.hidden) await seen();
  try {
    await look();
  } catch {
    // What is wrong with it, its age will say.
  }
  judge();
  await pause(ASK_EVERY_MS);
}
