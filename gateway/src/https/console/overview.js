// The largest accounts, the holds that end next, and until when certificates hold: asked of the API
// every few seconds.

import { age, ask, part, table } from "./console.js";

const ASK_EVERY_MS = 5000;
const SHOWN_MAX = 100;

let askedAt = -Infinity;

export const when = (ms) => `${new Date(ms).toISOString().slice(0, 19).replace("T", " ")} UTC`;
const ends = (ms, now) => (ms > now ? `in ${age((ms - now) / 1000)}` : "ended");

function say(id, text) {
  if (part(id).textContent !== text) part(id).textContent = text;
}

function showLargest({ since, sequence, time, assets }) {
  const rows = assets.flatMap(({ name, accounts }) => accounts.map((account) => [
    account.owner + (account.frozen ? " (frozen)" : ""), name,
    account.host === 0 ? "the frame" : String(account.host), account.total, account.liquid, account.held,
  ]));
  table(part("largest"), rows);
  say("largest-of", `Balances of sequence ${sequence} (${when(time)}). The accounts were chosen in a walk over all of them ` +
    `that began at sequence ${since}: one that grew behind the walk is missing until the next.`);
}

function showExpiring({ sequence, time, open, holds }) {
  table(part("expiring"), holds.map((hold) => [
    hold.hold, ends(hold.expires_at, time), hold.debit, hold.credit, hold.left, String(hold.asset),
  ]));
  say("expiring-of", `${open} open in all, at sequence ${sequence} (${when(time)}); those that end next are shown.`);
}

function showIdentities({ time, identities, forgotten }) {
  identities.sort((one, other) => one.not_after - other.not_after);
  table(part("certificates"), identities.slice(0, SHOWN_MAX).map((identity) => [
    identity.name, identity.role ?? (identity.kind === "own" ? "this frame" : identity.kind), when(identity.not_after),
    ends(identity.not_after, time), identity.connections === undefined ? "–" : String(identity.connections),
  ]));
  const more = Math.max(0, identities.length - SHOWN_MAX);
  say("certificates-of", `${identities.length} known, ${more} of them not shown, ${forgotten} forgotten. Of a client, the certificate of its last connection.`);
}

// Shows all of it, if that is due. What does not come now is asked again, and said where it is
// missing.
export async function overlook(now) {
  if (now - askedAt < ASK_EVERY_MS) return;
  askedAt = now;
  const parts = [
    ["/v1/largest", showLargest, "largest-of"], ["/v1/expiring", showExpiring, "expiring-of"],
    ["/v1/identities", showIdentities, "certificates-of"],
  ];
  for (const [path, show, caption] of parts) {
    try {
      show(await ask(path));
    } catch (problem) {
      // The first walk over all accounts takes a while.
      if (path !== "/v1/largest" || problem.status !== 503) say(caption, `Not known now: ${problem.message}`);
    }
  }
}
