// An overloaded HTTP service, with and without a limit that follows the load: `npm run bench:adaptive`.
// `--short` runs less of it and draws no picture, for `npm run bench`.
import { fork } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { performance } from "node:perf_hooks";
import { fileURLToPath } from "node:url";
import { closedLoop, connect, openLoop } from "./client.mjs";
import { POLICIES } from "./policies.mjs";
import { picture } from "./picture.mjs";

const SERVER = fileURLToPath(new URL("server.mjs", import.meta.url));
const isShort = process.argv.includes("--short");
/** Seconds of each phase: half the capacity, the load that is measured, half the capacity again. */
const SECONDS = isShort ? { before: 2, load: 6, after: 4 } : { before: 3, load: 12, after: 6 };
/** Excluded from the figures, because a policy needs time to adapt. The picture shows it. */
const SETTLING_MS = 2000;
/** A later response counts as useless. */
const GOOD_MS = 250;
const LOADS = isShort ? [3] : [0.85, 2, 3];

const [only] = process.argv.slice(2).filter((argument) => !argument.startsWith("--"));

async function serve(policy, baseMaxCalls, run) {
  const child = fork(SERVER, [policy, String(baseMaxCalls)], { env: { ...process.env, NODE_ENV: "production" } });
  try {
    const port = await new Promise((resolve) => child.once("message", (message) => resolve(message.port)));
    return await run(port, child);
  } finally {
    child.kill("SIGKILL");
  }
}

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const seconds = (ms) => (ms < Infinity ? `${(ms / 1000).toFixed(1)} s` : "not yet");
const quantile = (sorted, q) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))] ?? NaN;

async function overload(policy, capacity, times) {
  return serve(policy, 2 * capacity, async (port, child) => {
    const factors = [];
    child.on("message", ({ factor }) => factor !== undefined && factors.push({ atMs: performance.now(), factor }));
    await connect(port);
    const startedAt = performance.now();
    const before = await openLoop({ port, rate: capacity / 2, ms: SECONDS.before * 1000 });
    const loadedAt = performance.now();
    const under = await openLoop({ port, rate: capacity * times, ms: SECONDS.load * 1000 });
    const droppedAt = performance.now();
    const after = await openLoop({ port, rate: capacity / 2, ms: SECONDS.after * 1000 });
    const endedAt = performance.now();
    const answers = [...before, ...under, ...after];
    await Promise.race([Promise.all(answers.map(({ ended }) => ended)), sleep(1000)]);

    const loaded = under.filter(({ dueAt }) => dueAt >= loadedAt + SETTLING_MS);
    const refused = loaded.filter(({ status }) => status === 503).length;
    const admitted = loaded.filter(({ status }) => status !== 503).map(({ latencyMs }) => latencyMs);
    admitted.sort((one, other) => one - other);
    const good = admitted.filter((latencyMs) => latencyMs <= GOOD_MS).length;
    // The last request after the drop that was refused, lost or late.
    const troubled = after.filter(({ status, latencyMs }) => status !== 200 || latencyMs > GOOD_MS).at(-1)?.dueAt;
    const reduced = factors.filter(({ atMs, factor }) => atMs > droppedAt && factor < 1).at(-1)?.atMs;
    return {
      policy,
      times,
      goodput: good / (SECONDS.load - SETTLING_MS / 1000) / capacity,
      p99: quantile(admitted, 0.99),
      refused: refused / loaded.length,
      recoveredMs: recoveryOf(troubled, droppedAt, endedAt),
      fullMs: recoveryOf(reduced, droppedAt, endedAt),
      series: { startedAt, loadedAt, droppedAt, endedAt, answers, factors },
    };
  });
}

/** The time from the drop to the last trouble; `Infinity` if it lasted until the end of the run. */
function recoveryOf(lastTroubleAt = -Infinity, droppedAt, endedAt) {
  return lastTroubleAt > endedAt - 500 ? Infinity : Math.max(0, lastTroubleAt - droppedAt);
}

const capacity = await serve("no limiter", 0, async (port) => {
  await closedLoop({ port, width: 16, ms: 2000 });
  return closedLoop({ port, width: 16, ms: 4000 });
});
console.log(`Node ${process.version}; capacity ${capacity.toFixed(0)} requests a second, of 2 ms each and HTTP\n`);
console.log("policy                      load   goodput   p99 of admitted   refused   recovered   limit full again");

const results = [];
for (const policy of Object.keys(POLICIES).filter((name) => only === undefined || name === only)) {
  for (const times of LOADS) {
    const result = await overload(policy, capacity, times);
    results.push(result);
    const { goodput, p99, refused, recoveredMs, fullMs } = result;
    console.log(
      policy.padEnd(26),
      `${times}x`.padStart(5),
      `${(goodput * 100).toFixed(0)}%`.padStart(9),
      (p99 < Infinity ? `${p99.toFixed(0)} ms` : "never").padStart(17),
      `${(refused * 100).toFixed(1)}%`.padStart(9),
      seconds(recoveredMs).padStart(11),
      seconds(fullMs).padStart(18),
    );
  }
}
if (only === undefined && !isShort) {
  await writeFile(new URL("overload.svg", import.meta.url), picture(results, { capacity, goodMs: GOOD_MS }));
}
