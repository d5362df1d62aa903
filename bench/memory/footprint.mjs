// The memory of a million keys, the stalls that they cause, and the results of twenty million.
import { result, run } from "../child.mjs";
import { median, table } from "../stats.mjs";
import { PEERS } from "./peers.mjs";

const KEYED = Object.entries(PEERS)
  .filter(([name, { keyed = true }]) => keyed && name !== "floor")
  .map(([name]) => name);

export async function heap({ quick }) {
  const rows = [];
  for (const peer of KEYED) {
    const args = [peer, quick ? "100000" : "1000000", "1,5,100"];
    rows.push(await result("memory/heap.mjs", args, { flags: ["--expose-gc", "--max-old-space-size=6144"] }));
  }
  console.log(`\nHeap of a key, bytes, among ${quick ? "100k" : "1M"} keys (fewer where each is large)\n`);
  const cells = rows.map(({ peer, bytes }) => [peer, ...Object.values(bytes).map(String)]);
  console.log(table(["limiter", "1 call", "5 calls", "100 calls, full"], cells));
  return rows;
}

export async function stalls({ quick, long }) {
  const rows = [];
  for (const peer of ["a bare Map", ...KEYED]) {
    const runs = [];
    for (let turn = 0; turn < (long ? 3 : 1); turn += 1) {
      runs.push(
        await result("memory/stall.mjs", [peer, quick ? "100000" : "1000000"], {
          flags: ["--max-old-space-size=6144"],
        }),
      );
    }
    rows.push({ peer, runs });
  }
  console.log(
    "\nLongest stall, ms: of a loop that yields every 100 calls (and by monitorEventLoopDelay), the shortest of all runs\n",
  );
  // The shortest, because other load on the machine only makes a stall longer.
  const least = (runs, phase, by) => Math.min(...runs.map((one) => one[phase][by])).toFixed(0);
  const both = (runs, phase) => `${least(runs, phase, "probeMs")} (${least(runs, phase, "delayMs")})`;
  const cells = rows.map(({ peer, runs }) => [
    peer,
    both(runs, "arriving"),
    both(runs, "expiring"),
    `${(median(runs.map(({ arrivedMs }) => arrivedMs)) / 1000).toFixed(1)} s`,
  ]);
  console.log(table(["limiter", "1M new keys", "1M expire", "time for 1M new keys"], cells));
  return rows;
}

/** Describes the result of a flood. */
function outcome({ messages, ended }, limitMs) {
  const last = messages.at(-1);
  if (last === undefined) return "failed";
  const size = `${(last.held / 1e6).toFixed(2)}M keys held in ${last.heapMb} MB`;
  if (last.threw !== undefined) return `throws ${last.threw} after ${(last.called / 1e6).toFixed(1)}M keys, ${size}`;
  if (ended === "done") return `all done in ${(last.ms / 1000).toFixed(0)} s, ${size}`;
  const how = ended === "time limit" ? `not done in ${limitMs / 1000} s` : ended;
  return `${how}, after ${(last.called / 1e6).toFixed(1)}M keys, ${size}`;
}

/** @param options.long - waits four minutes in place of 12 s, with a heap of 4 GB. */
export async function flood({ quick, long }) {
  const [limitMs, heapMb] = long ? [240_000, 4096] : [quick ? 5000 : 12_000, 1024];
  const keys = quick ? "2000000" : "20000000";
  const cases = KEYED.map((peer) => [peer, peer, "1000000"]);
  cases.splice(1, 0, ["sluicegate, maxKeys 8,388,608", "sluicegate", "8388608"]);
  const rows = [];
  for (const [name, peer, maxKeys] of cases) {
    const flags = [`--max-old-space-size=${heapMb}`];
    const ran = await run("memory/flood.mjs", [peer, keys, maxKeys], { flags, timeLimitMs: limitMs });
    rows.push({ name, outcome: outcome(ran, limitMs), last: ran.messages.at(-1) });
    console.error(`flood: ${name}`);
  }
  console.log(`\n${keys / 1e6}M keys with one call each, all within the window, in a heap of ${heapMb / 1024} GB\n`);
  for (const row of rows) console.log(`${row.name.padEnd(32)}${row.outcome}`);
  return rows;
}
