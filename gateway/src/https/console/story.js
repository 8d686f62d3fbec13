// The search: everything that the frame tells of an owner, a command or a hold, in tables; of a
// command also what it did.

import { ask, make, table } from "./console.js";
import { when } from "./overview.js";

const PATIENCE_MS = 15000;
const segment = encodeURIComponent;

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

// Each search has a number: what comes late of an older one is dropped.
let searches = 0;

function put(mine, title, rows, heads = []) {
  if (mine !== searches) return;
  const lines = make("table");
  lines.append(make("caption", title));
  if (heads.length > 0) {
    const line = lines.createTHead().insertRow();
    line.append(...heads.map((head) => make("th", head, { scope: "col" })));
  }
  lines.append(make("tbody"));
  const box = make("div", "", { class: "wide" });
  box.append(lines);
  document.getElementById("found").append(box);
  table(lines, rows);
}

// One server-sent event: its name, and its data as an object.
function parsed(block) {
  const field = (name) => block.split("\n").find((line) => line.startsWith(`${name}: `))?.slice(name.length + 2);
  const data = field("data");
  return { name: field("event"), data: data ? JSON.parse(data) : null };
}

// What happened at a sequence, from the feed that begins right before it.
async function told(sequence) {
  const enough = new AbortController();
  const late = setTimeout(() => enough.abort(), PATIENCE_MS);
  try {
    const answer = await fetch(`/v1/events?after=${sequence - 1}`, { signal: enough.signal });
    if (!answer.ok) throw new Error((await answer.json()).detail);
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    const events = [];
    for (let text = ""; ;) {
      const { done, value } = await reader.read();
      if (done) throw new Error("the feed ended early");
      const blocks = (text + value).split("\n\n");
      text = blocks.pop();
      for (const { name, data } of blocks.map(parsed)) {
        if (name === "end") throw new Error(data.detail);
        if (!data) continue;
        if (data.sequence > sequence || (name === "progress" && data.sequence === sequence)) return events;
        if (name !== "progress" && data.sequence === sequence) events.push(data);
      }
    }
  } finally {
    clearTimeout(late);
    enough.abort();
  }
}

// The same from what SQL and the journal know of one owner, where nobody is told of all.
async function entered(sequence, owner) {
  const path = `/v1/accounts/${segment(owner)}/entries?before=${sequence + 1}`;
  const entries = [];
  for (let after = String(sequence - 1); after !== undefined;) {
    const page = await ask(`${path}&after=${after}`);
    entries.push(...page.entries);
    after = page.next;
  }
  return entries;
}

const side = (account) => (account
  ? [account.owner, account.bucket, account.after === undefined ? "" : `then ${account.after}`].filter(Boolean).join(", ")
  : "–");

const HEADS = ["Event", "Debit", "Credit", "Amount", "Asset", "Names"];
const row = (event) => [
  event.event, side(event.debit), side(event.credit), event.amount ?? "–", String(event.asset ?? "–"),
  event.reference ?? event.parameter?.toString() ?? "–",
];

// The record of a command and what it did, and the timers that ended before it; says whether that
// could be told.
async function story(mine, sequence, owner) {
  let [events, did] = [[], "What it did"];
  try {
    events = await told(sequence).catch((problem) => {
      if (!owner) throw problem;
      did = `What it did to ${owner}`;
      return entered(sequence, owner);
    });
  } catch (problem) {
    put(mine, "What it did cannot be told", [["Why", problem.message]]);
    return false;
  }
  const [own, timers] = [events.filter((event) => !event.timer), events.filter((event) => event.timer)];
  if (events.length > 0) {
    const { epoch, time } = events[0];
    const id = own[0]?.id;
    put(mine, "Its record", [
      ["Sequence", String(sequence)], ["Time", when(time)],
      ...(epoch === undefined ? [] : [["Epoch", String(epoch)]]), ...(id ? [["Command", id]] : []),
    ]);
  }
  if (timers.length > 0) put(mine, "Timers that ended before it", timers.map(row), HEADS);
  if (own.length > 0) put(mine, did, own.map(row), HEADS);
  else put(mine, did, [["Nothing", "no balance, account or setting changed by the command of this sequence"]]);
  return true;
}

async function search(mine, id, owner) {
  if (/^\d{1,15}$/.test(id)) {
    return (await story(mine, Number(id), owner)) ? 1 : 0;
  }
  const { assets } = await ask("/api/v1/projections/supply-audit");
  const wanted = [];
  for (const { asset, name } of assets) {
    wanted.push([`Account in ${name}`, `/v1/accounts/${segment(id)}/${asset}`]);
    if (owner) wanted.push([`Hold in ${name}`, `/v1/holds/${segment(owner)}/${asset}/${segment(id)}`]);
  }
  let count = 0;
  for (const [title, path] of wanted) {
    const value = await found(path);
    if (value !== null) {
      put(mine, title, flat(value));
      count += 1;
    }
  }
  const scope = owner ? `?owner=${segment(owner)}` : "";
  const command = await found(`/v1/commands/${segment(id)}${scope}`);
  if (command !== null) {
    put(mine, "Command", flat(command));
    await story(mine, command.sequence, owner);
    count += 1;
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
    searches += 1;
    const mine = searches;
    const say = (text) => {
      if (mine === searches) said.textContent = text;
    };
    say("Searching…");
    try {
      const count = await search(mine, id, owner);
      say(count === 0 ? "Nothing is found, or you may not see it." : `Found: ${count}.`);
    } catch (problem) {
      say(`The frame does not answer: ${problem.message}`);
    }
  });
}
