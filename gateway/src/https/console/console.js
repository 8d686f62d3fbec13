// The operator's console. It asks the API of its own host once a second, as whoever the browser's
// certificate says, and writes text; it never writes markup and sends no command.

import { Chart } from "./charts.js";
import { Figures, Past } from "./figures.js";
import { overlook } from "./overview.js";
import { searching } from "./story.js";

const ASK_EVERY_MS = 1000;
const PATIENCE_MS = 5000;
const STALE_MS = 10000;
const RECENT = 10;
const READINGS = 300;

export const part = (id) => document.getElementById(id);
const past = new Past(READINGS);
let newsAt = performance.now();

export async function ask(path) {
  const answer = await fetch(path, { signal: AbortSignal.timeout(PATIENCE_MS) });
  if (!answer.ok) throw Object.assign(new Error(`${path}: ${answer.status}`), { status: answer.status });
  return answer.headers.get("content-type").includes("json") ? answer.json() : answer.text();
}

export function make(name, text, attributes = {}) {
  const element = document.createElement(name);
  if (text) element.textContent = text;
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}

// Fills a table: the first of each row is its heading. What has not changed is left alone.
export function table(element, rows) {
  const body = element.tBodies[0];
  while (body.rows.length > rows.length) body.deleteRow(-1);
  rows.forEach((row, at) => {
    const line = body.rows[at] ?? body.insertRow();
    row.forEach((text, place) => {
      let cell = line.cells[place];
      if (!cell) {
        cell = place === 0 ? make("th", "", { scope: "row" }) : make("td");
        line.append(cell);
      }
      if (cell.textContent !== text) cell.textContent = text;
      if (place > 0) cell.classList.toggle("number", /^[<\d\u202f.,%\s-]+( (ns|µs|ms|s|%))?$/.test(text));
    });
  });
}

const whole = (value) => Math.round(value).toString().replace(/\B(?=(\d{3})+$)/g, "\u202f");
const rate = (value) => (value < 10 ? value.toFixed(1) : whole(value));
const percent = (share) => `${(100 * share).toFixed(1)} %`;

function lasting(seconds) {
  if (seconds === undefined) return "–";
  if (!Number.isFinite(seconds)) return "beyond";
  if (seconds < 1e-3) return `${(seconds * 1e6).toFixed(0)} µs`;
  return seconds < 1 ? `${(seconds * 1e3).toFixed(1)} ms` : `${seconds.toFixed(1)} s`;
}

export function age(seconds) {
  for (const [unit, length] of [["days", 86400], ["h", 3600], ["min", 60]]) {
    if (seconds >= 2 * length) return `${(seconds / length).toFixed(1)} ${unit}`;
  }
  return `${seconds.toFixed(0)} s`;
}

// A figure that its help describes, as a row.
function described(figures, row) {
  const labels = Object.entries(row.labels).map(([key, value]) => `${key} ${value}`).join(", ");
  const help = (figures.help.get(row.name) ?? row.name).replace(/\.$/, "");
  const shown = row.name.endsWith("_seconds") ? age(row.value) : whole(row.value);
  return [labels ? `${help} (${labels})` : help, shown];
}

const charts = {
  speed: new Chart(part("charts"), "Commands a second", ["executed"], rate),
  latency: new Chart(part("charts"), "Latency of writes, below", ["99 %", "median"], lasting),
  lag: new Chart(part("charts"), "Settlement lag", ["lag"], lasting),
};

function showHealth(figures) {
  const checks = figures.all("bezant_check_ok");
  table(part("checks"), checks.map((row) => [row.labels.check, row.value === 1 ? "ok" : "NOT OK"]));
  const identity = figures.all("bezant_identity_info")[0]?.labels.spiffe_id ?? "";
  const frame = figures.all("bezant_frame_info")[0]?.labels.frame ?? "";
  table(part("identity"), [
    ["Frame", frame],
    ["Identity", identity],
    ["Its certificate ends in", age(figures.sum("bezant_identity_expires_in_seconds") ?? 0)],
    ["Epoch", whole(figures.sum("bezant_epoch") ?? 0)],
    ["Running since", age(figures.sum("bezant_uptime_seconds") ?? 0)],
    ["Memory", `${whole((figures.sum("process_resident_memory_bytes") ?? 0) / 1048576)} MiB`],
  ]);
  part("domain").textContent = identity.split("/")[2] ?? "a frame";
  part("version").textContent = figures.all("bezant_build_info")[0]?.labels.version ?? "";
  const terms = ["issued", "destroyed", "circulating", "delta"];
  table(part("supply"), figures.all("bezant_supply_delta").map(({ labels }) => [
    labels.asset,
    ...terms.map((term) => figures.all(`bezant_supply_${term}`, labels)[0]?.text ?? "–"),
  ]));
}

function showSpeed(figures) {
  const recent = past.span(RECENT);
  const writes = { kind: "write" };
  charts.speed.add(Date.now(), [past.span(1).rate("bezant_engine_commands_total")]);
  charts.latency.add(Date.now(), [0.99, 0.5].map((share) => recent.below(share, "bezant_request_seconds", writes)));
  charts.lag.add(Date.now(), [figures.sum("bezant_settlement_lag_seconds")]);
  table(part("doors"), figures.all("bezant_request_seconds_count").map(({ labels }) => [
    labels.door, labels.kind,
    rate(recent.rate("bezant_request_seconds_count", labels)),
    lasting(recent.below(0.5, "bezant_request_seconds", labels)),
    lasting(recent.below(0.99, "bezant_request_seconds", labels)),
  ]));
  table(part("stages"), figures.all("bezant_stage_working_seconds_total").map(({ labels }) => [
    labels.stage,
    percent(recent.rate("bezant_stage_working_seconds_total", labels)),
    lasting(recent.below(0.99, "bezant_stage_step_seconds", labels)),
    whole(figures.sum("bezant_queue_depth", { queue: labels.stage }) ?? 0),
  ]));
  table(part("tables"), figures.all("bezant_limit_used").map(({ labels, value }) => [
    labels.table, whole(value), whole(figures.sum("bezant_limit_capacity", labels) ?? 0),
  ]));
}

function showRefusals(figures) {
  const all = past.span(READINGS);
  const rows = ["bezant_commands_refused_total", "bezant_gateway_connections_refused_total"].flatMap((name) => {
    const what = name.includes("connections") ? "connection: " : "";
    return figures.all(name).filter((row) => row.value > 0)
      .map(({ labels, value }) => [what + labels.reason, all.growth(name, labels), value]);
  });
  rows.sort((one, other) => other[1] - one[1] || other[2] - one[2]);
  const shown = rows.map(([reason, recent, total]) => [reason, whole(recent), whole(total)]);
  table(part("refused"), shown.length > 0 ? shown : [["nothing was refused", "0", "0"]]);
}

function showRest(figures) {
  const rows = (...heads) => figures.named(...heads).map((row) => described(figures, row));
  const settled = rows("bezant_settlement_lag", "bezant_settlement_interval", "bezant_settlement_batches",
    "bezant_settlement_rows", "bezant_settlement_failures", "bezant_settlement_alarm");
  if (settled.length > 0) {
    const commit = past.span(READINGS).below(0.99, "bezant_settlement_commit_seconds");
    settled.push(["Commits of batches in the last five minutes, 99 % below", lasting(commit)]);
  }
  table(part("settled"), settled.length > 0 ? settled : [["There is no database", "–"]]);
  table(part("kept"), rows("bezant_snapshot", "bezant_retention", "bezant_scrub", "bezant_journal_disk", "bezant_journal_first", "bezant_journal_size",
    "bezant_journal_segments", "bezant_journal_full"));
}

function judge() {
  const figures = past.readings.at(-1);
  const quiet = performance.now() - newsAt;
  if (!figures || quiet > STALE_MS) {
    return say("unknown", `UNKNOWN: no news from the frame for ${Math.floor(quiet / 1000)} s.`);
  }
  const wrong = figures.all("bezant_check_ok").filter((row) => row.value !== 1).map((row) => row.labels.check);
  if (wrong.length > 0) return say("breach", `NOT READY: ${wrong.join(", ")}.`);
  say("ok", "READY: every check is ok.");
}

function say(status, text) {
  const verdict = part("verdict");
  verdict.dataset.status = status;
  if (verdict.textContent !== text) verdict.textContent = text;
  const title = `${text.split(":")[0]}: console of ${part("domain").textContent}`;
  if (document.title !== title) document.title = title;
}

async function look() {
  past.add(new Figures(await ask("/v1/figures"), performance.now()));
  newsAt = performance.now();
  const figures = past.readings.at(-1);
  for (const show of [showHealth, showSpeed, showRefusals, showRest]) show(figures);
}

async function begin() {
  const me = await ask("/v1/me");
  part("who").textContent = `You are ${me.spiffe_id}, with the role ${me.role}.`;
  const { settings } = await ask("/v1/settings");
  table(part("set"), settings.map(({ key, value, origin, meaning }) => [key, value || "(empty)", origin, meaning]));
}

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const seen = () => new Promise((resolve) => {
  document.addEventListener("visibilitychange", resolve, { once: true });
});

async function live() {
  let hasBegun = false;
  for (;;) {
    if (document.hidden) await seen();
    try {
      if (!hasBegun) await begin();
      hasBegun = true;
      await look();
    } catch {
      // What is wrong with it, its age will say.
    }
    judge();
    // Never before the verdict: the engine may be slow to tell these.
    if (hasBegun) await overlook(performance.now());
    await pause(ASK_EVERY_MS);
  }
}

searching();
live();
