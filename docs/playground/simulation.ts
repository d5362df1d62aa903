import { AsyncRateLimiter } from "sluicegate";
import { ManualClock } from "sluicegate/testing";

/** At most `maxCalls` in `periodMs`, a whole number of milliseconds. */
export interface Limit {
  readonly maxCalls: number;
  readonly periodMs: number;
}

/** Decides the calls of one key; the times are milliseconds and never decrease. */
type Admit = (nowMs: number) => boolean;

export interface Algorithm {
  readonly name: string;
  /** What it does for each key, as a short phrase. */
  readonly does: string;
  readonly start: (limit: Limit) => Admit;
}

/** The most admitted calls that any window holds, and the first and the last of them. */
export interface Window {
  readonly calls: number;
  readonly firstMs: number;
  readonly lastMs: number;
}

export interface Result {
  readonly algorithm: Algorithm;
  readonly admittedMs: readonly number[];
  readonly refusedMs: readonly number[];
  readonly worst: Window;
  /** How many calls were refused although fewer than `maxCalls` had been admitted in the window that ends with the call. */
  readonly needlessRefusals: number;
}

export const fixedWindow: Algorithm = {
  name: "Fixed window",
  does: "counts from 0 each period",
  start({ maxCalls, periodMs }) {
    let current = -1;
    let count = 0;
    return (nowMs) => {
      const window = Math.floor(nowMs / periodMs);
      if (window !== current) count = 0;
      current = window;
      if (count >= maxCalls) return false;
      count += 1;
      return true;
    };
  },
};

export const twoCounters: Algorithm = {
  name: "Two counters",
  does: "estimates from two counts",
  start({ maxCalls, periodMs }) {
    let current = -1;
    let count = 0;
    let previous = 0;
    return (nowMs) => {
      const window = Math.floor(nowMs / periodMs);
      if (window !== current) {
        previous = window === current + 1 ? count : 0;
        count = 0;
        current = window;
      }
      // The part of the previous window that a sliding window still covers, as if its calls had been spread evenly.
      const covered = 1 - (nowMs / periodMs - window);
      if (previous * covered + count + 1 > maxCalls) return false;
      count += 1;
      return true;
    };
  },
};

export const tokenBucket: Algorithm = {
  name: "Token bucket",
  does: "refills at a steady rate",
  start({ maxCalls, periodMs }) {
    let tokens = maxCalls;
    let filledMs = 0;
    return (nowMs) => {
      tokens = Math.min(maxCalls, tokens + ((nowMs - filledMs) * maxCalls) / periodMs);
      filledMs = nowMs;
      if (tokens < 1) return false;
      tokens -= 1;
      return true;
    };
  },
};

export const sluicegate: Algorithm = {
  name: "sluicegate",
  does: "logs each admitted call",
  start({ maxCalls, periodMs }) {
    const clock = new ManualClock();
    const limiter = new AsyncRateLimiter({ maxCalls, period: `${periodMs}ms`, clock, bypass: false });
    return (nowMs) => {
      clock.set(nowMs);
      return limiter.checkSync("client").allowed;
    };
  },
};

export const ALGORITHMS: readonly Algorithm[] = [fixedWindow, twoCounters, tokenBucket, sluicegate];

/** Runs one algorithm on the arrivals, which are in order. */
export function simulate(algorithm: Algorithm, arrivalsMs: readonly number[], limit: Limit): Result {
  const admit = algorithm.start(limit);
  const admittedMs: number[] = [];
  const refusedMs: number[] = [];
  let needlessRefusals = 0;
  for (const nowMs of arrivalsMs) {
    if (admit(nowMs)) {
      admittedMs.push(nowMs);
    } else {
      refusedMs.push(nowMs);
      const blocking = admittedMs.at(-limit.maxCalls);
      if (blocking === undefined || blocking <= nowMs - limit.periodMs) needlessRefusals += 1;
    }
  }
  return { algorithm, admittedMs, refusedMs, worst: worstWindow(admittedMs, limit.periodMs), needlessRefusals };
}

/** Finds the first window `(end - periodMs, end]` that holds the most of `timesMs`, which are in order. */
export function worstWindow(timesMs: readonly number[], periodMs: number): Window {
  let worst: Window = { calls: 0, firstMs: 0, lastMs: 0 };
  let oldest = 0;
  timesMs.forEach((lastMs, newest) => {
    let firstMs = timesMs[oldest] ?? lastMs;
    while (firstMs <= lastMs - periodMs) firstMs = timesMs[++oldest] ?? lastMs;
    const calls = newest - oldest + 1;
    if (calls > worst.calls) worst = { calls, firstMs, lastMs };
  });
  return worst;
}

/** `count` whole milliseconds, spread evenly over `[fromMs, toMs)`. */
function spread(count: number, fromMs: number, toMs: number): number[] {
  return Array.from({ length: count }, (_, index) => Math.floor(fromMs + ((toMs - fromMs) * index) / count));
}

/** The patterns of arrivals that follow from a limit. The fixed window begins at each whole period. */
export const PATTERNS = {
  /** As many calls as the limit in the last tenth of one fixed window, and again in the first tenth of the next. */
  edge({ maxCalls, periodMs }: Limit): number[] {
    return [...spread(maxCalls, 0.9 * periodMs, periodMs), ...spread(maxCalls, periodMs, 1.1 * periodMs)];
  },
  /** One and a half times the limit, for three periods. */
  steady({ maxCalls, periodMs }: Limit): number[] {
    return spread(Math.ceil(4.5 * maxCalls), 0, 3 * periodMs);
  },
  /** Five times the limit without a pause, from a fifth of a period before a fixed window ends. */
  attacker({ maxCalls, periodMs }: Limit): number[] {
    return spread(11 * maxCalls, 0.8 * periodMs, 3 * periodMs);
  },
} as const;

/** The most times that {@link parseTimes} accepts: each is drawn once for each algorithm. */
export const MAX_TIMES = 5_000;

/**
 * Reads times that are separated by spaces, commas, semicolons or line ends, and returns them in whole milliseconds and in order.
 *
 * @param unitMs - how many milliseconds the unit of the times has: 1 or 1,000.
 * @throws RangeError with a message for the page if a time is not a number, is negative or too large, or if there are none or too many.
 */
export function parseTimes(text: string, unitMs: number): number[] {
  const unit = unitMs === 1 ? "milliseconds" : "seconds";
  const timesMs: number[] = [];
  text.split("\n").forEach((line, index) => {
    for (const word of line.split(/[\s,;]+/).filter(Boolean)) {
      const time = Number(word);
      if (!/^[\d.]/.test(word) || !(time * unitMs <= Number.MAX_SAFE_INTEGER)) {
        throw new RangeError(`Line ${index + 1}: expected a time in ${unit}, 0 or more, got \`${word.slice(0, 30)}\`.`);
      }
      timesMs.push(Math.round(time * unitMs));
    }
  });
  if (timesMs.length === 0) throw new RangeError(`Expected at least one time in ${unit}.`);
  if (timesMs.length > MAX_TIMES) {
    throw new RangeError(`Expected at most ${MAX_TIMES} times, got ${timesMs.length}.`);
  }
  return timesMs.sort((a, b) => a - b);
}
