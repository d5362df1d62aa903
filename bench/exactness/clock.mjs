// Time moved by hand for limiters that know nothing of it: `Date.now`, `performance.now` and the timers of the process are
// taken over when this is imported, which must be before any of them is.

const START = Date.UTC(2026, 0, 1);
const rest = globalThis.setImmediate;
/** In the order of their times; those of one time in the order in which they were set. */
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

/** Lets everything run that waits for no time to pass. */
export const settled = () => new Promise((resolve) => rest(resolve));

export const present = () => nowMs;

/** Moves to an instant, and lets each timer on the way run at its own. */
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

/** Forgets all timers: what the last limiter has left behind. */
export function clearTimers() {
  timers = [];
}
