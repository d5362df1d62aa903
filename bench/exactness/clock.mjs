// A manual clock for limiters that do not support one. Importing this module replaces `Date.now`, `performance.now` and the timers
// of the process, so import it before any limiter.

const START = Date.UTC(2026, 0, 1);
const realSetImmediate = globalThis.setImmediate;
/** Run by time, and timers of the same time in the order of creation. */
let timers = [];
let made = 0;
let nowMs = 0;

Date.now = () => START + Math.floor(nowMs);
performance.now = () => nowMs;

class Timer {
  constructor(run, delayMs, args, everyMs) {
    const atMs = nowMs + Math.max(1, Math.trunc(delayMs) || 1);
    Object.assign(this, { id: (made += 1), atMs, run, args, everyMs });
    timers.push(this);
  }

  unref() {
    return this;
  }

  ref() {
    return this;
  }

  [Symbol.toPrimitive]() {
    return this.id;
  }
}

globalThis.setTimeout = (run, delayMs, ...args) => new Timer(run, delayMs, args);
globalThis.setInterval = (run, delayMs, ...args) => new Timer(run, delayMs, args, Math.max(1, delayMs));
globalThis.clearTimeout = globalThis.clearInterval = (timer) => {
  timers = timers.filter((other) => other !== timer && other.id !== timer);
};

/** Resolves after all pending microtasks. */
export const settled = () => new Promise((resolve) => realSetImmediate(resolve));

export const present = () => nowMs;

/** Moves the clock to an instant, and runs each due timer at its own time. */
export async function moveTo(instant) {
  for (;;) {
    const [next] = timers.filter(({ atMs }) => atMs <= instant).sort((a, b) => a.atMs - b.atMs || a.id - b.id);
    if (next === undefined) break;
    nowMs = Math.max(nowMs, next.atMs);
    if (next.everyMs === undefined) clearTimeout(next);
    else next.atMs += next.everyMs;
    next.run(...next.args);
    await settled();
  }
  nowMs = instant;
}

/** Deletes all timers of the previous limiter. */
export function clearTimers() {
  timers = [];
}
