// A caller that recurses until the stack is full, and calls a limiter at every depth near its end: `node dive.mjs DIST`, with
// whatever options of V8 make stacks and frames larger or smaller. Tells how many calls failed, and what came of it.
import process from "node:process";

const dist = process.argv[2];
const { AsyncRateLimiter, MemoryStore } = await import(`${dist}/esm/index.js`);
const { ManualClock } = await import(`${dist}/esm/testing/index.js`);

const OLD = 50;
/** So many that the first are made where there is no stack left, and the last where there is enough. */
const ATTEMPTS = 1500;
const cost = (at) => 1 + (at % 9);
const VERBS = {
  "new keys come": (limiter, at) => limiter.checkSync(`new ${at}`, { cost: cost(at) }),
  "logs grow": (limiter, at) => limiter.checkSync(`old ${at % OLD}`, { cost: cost(at) }),
  "calls are not awaited": (limiter, at) => void limiter.isAllowed(`new ${at}`).catch(() => undefined),
  "keys are reset": (limiter, at) => void limiter.reset(`other ${at % OLD}`).catch(() => undefined),
};

function dive(call) {
  let [attempts, failed] = [0, 0];
  const deeper = () => {
    try {
      deeper();
    } catch {
      // The end of the stack, or of a call.
    }
    if (attempts === ATTEMPTS) return;
    try {
      attempts += 1;
      call(attempts);
    } catch {
      failed += 1;
    }
  };
  deeper();
  return failed;
}

const report = { failed: 0, lost: 0, wrong: 0 };
for (let round = 0; round < 10; round += 1) {
  for (const call of Object.values(VERBS)) {
    const store = new MemoryStore({ clock: new ManualClock() });
    const limiter = new AsyncRateLimiter({ maxCalls: 10_000, period: "1m", store, bypass: false });
    for (let at = 0; at < OLD; at += 1) {
      limiter.checkSync(`old ${at}`, { cost: cost(at) });
      limiter.checkSync(`other ${at}`);
    }
    report.failed += dive((attempt) => call(limiter, attempt));
    await null;
    for (let at = 0; at < OLD; at += 1) {
      if ((await limiter.state(`old ${at}`)).calls < cost(at)) report.lost += 1;
    }
    // Each key that comes now counts for itself, and goes without another.
    const late = Array.from({ length: 60 }, (_, at) => `late ${at}`);
    for (const key of late) limiter.checkSync(key, { cost: 7 });
    for (const key of late) if ((await limiter.state(key)).calls !== 7) report.wrong += 1;
    const { size } = store;
    for (const key of late) await limiter.reset(key);
    for (const key of late) if ((await limiter.state(key)).calls !== 0) report.wrong += 1;
    if (store.size !== size - late.length) report.wrong += 1;
    await limiter.reset();
    if (store.size !== 0) report.wrong += 1;
  }
}
process.stdout.write(JSON.stringify(report));
