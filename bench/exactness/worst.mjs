// The most calls that a limiter admits in any window of its length: `node worst.mjs PEER [searches]`.
import { clearTimers, moveTo, present, settled } from "./clock.mjs";
import { adversarial, changed, random, seeded, toGrain } from "./schedules.mjs";

const LIMIT = 100;
const WINDOW_MS = 1000;
const [peer, searches = "400"] = process.argv.slice(2);

// Imported after the clock is replaced.
const { PEERS } = await import("../memory/peers.mjs");
const open = await PEERS[peer].load();

/** The instants at which a new limiter admits calls. */
async function admittedBy(schedule) {
  const limiter = open({ limits: [{ maxCalls: LIMIT, periodMs: WINDOW_MS }], keys: ["key"], maxKeys: 1000 });
  const start = present();
  const admitted = [];
  for (const [at, calls] of schedule) {
    await moveTo(start + at);
    for (let call = 0; call < calls; call += 1) {
      // A call that waits is admitted when its wait ends.
      void limiter.check("key").then(
        (answer) => limiter.admits(answer) && admitted.push(present()),
        (refusal) => refusal instanceof Error && Promise.reject(refusal),
      );
      // Settles each call before the next, because some peers return a counter that the next call changes.
      for (let tick = 0; tick < 8; tick += 1) await undefined;
    }
    await settled();
  }
  await moveTo(start + schedule.at(-1)[0] + 3 * WINDOW_MS);
  // Expires all calls, and ends at a whole millisecond.
  clearTimers();
  await moveTo(Math.ceil(present()) + 10 * WINDOW_MS);
  return admitted.sort((a, b) => a - b);
}

/** The most of these instants in any `[start, start + window)`. */
function mostInAWindow(instants) {
  let [most, from] = [0, 0];
  for (const [at, instant] of instants.entries()) {
    // Tolerates rounding errors, because instants are sums of fractions.
    while (instant - instants[from] >= WINDOW_MS - 1e-6) from += 1;
    most = Math.max(most, at - from + 1);
  }
  return most;
}

async function search(grain) {
  const next = seeded(9);
  let [most, worst] = [0, undefined];
  const evaluate = async (schedule) => {
    const rounded = toGrain(schedule, grain);
    const found = mostInAWindow(await admittedBy(rounded));
    if (found > most || worst === undefined) [most, worst] = [found, rounded];
  };
  for (const schedule of adversarial(LIMIT, WINDOW_MS)) await evaluate(schedule);
  for (let tried = 0; tried < Number(searches); tried += 1) {
    await evaluate(next() < 0.5 ? random(next, LIMIT, WINDOW_MS) : changed(next, worst, LIMIT, WINDOW_MS));
  }
  return { most, schedule: worst.slice(0, 5) };
}

console.log(JSON.stringify({ peer, limit: LIMIT, whole: await search(1), any: await search(0) }));
process.exit(0);
