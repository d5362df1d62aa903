// Recurses until the stack is full, and calls a limiter at every depth near the end of the stack: `node stack-overflow.mjs DIST`,
// with V8 options that change the size of stack and frames. Prints how many calls failed, how many keys lost calls, and how
// many results were wrong afterwards.
import process from "node:process";

const dist = process.argv[2];
const { AsyncRateLimiter, MemoryStore } = await import(`${dist}/esm/index.js`);
const { ManualClock } = await import(`${dist}/esm/testing/index.js`);

const OLD = 50;
/** Enough for the first attempts to have no stack left, and the last to have enough. */
const ATTEMPTS = 1500;
const cost = (at) => 1 + (at % 9);
const OPERATIONS = {
  "new keys": (limiter, at) => limiter.checkSync(`new ${at}`, { cost: cost(at) }),
  "growing logs": (limiter, at) => limiter.checkSync(`old ${at % OLD}`, { cost: cost(at) }),
  "calls without await": (limiter, at) => void limiter.isAllowed(`new ${at}`).catch(() => undefined),
  resets: (limiter, at) => void limiter.reset(`other ${at % OLD}`).catch(() => undefined),
};

function callNearTheEndOfTheStack(call) {
  let [attempts, failed] = [0, 0];
  const deeper = () => {
    try {
      deeper();
    } catch {
      // The stack overflowed, here or in the call.
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
  for (const call of Object.values(OPERATIONS)) {
    const store = new MemoryStore({ clock: new ManualClock() });
    const limiter = new AsyncRateLimiter({ maxCalls: 10_000, period: "1m", store, bypass: false });
    for (let at = 0; at < OLD; at += 1) {
      limiter.checkSync(`old ${at}`, { cost: cost(at) });
      limiter.checkSync(`other ${at}`);
    }
    report.failed += callNearTheEndOfTheStack((attempt) => call(limiter, attempt));
    await null;
    for (let at = 0; at < OLD; at += 1) {
      if ((await limiter.state(`old ${at}`)).calls < cost(at)) report.lost += 1;
    }
    // New keys are counted separately, and a reset deletes only its own key.
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
