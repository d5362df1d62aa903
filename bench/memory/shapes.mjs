// The cases that every limiter runs: number of keys, result, depth, number of limits, and whether it is awaited.

const HOUR = 3_600_000;
const one = (maxCalls, periodMs = HOUR) => [{ maxCalls, periodMs }];
const THREE = [
  { maxCalls: 100, periodMs: 60_000 },
  { maxCalls: 1000, periodMs: HOUR },
  { maxCalls: 10_000, periodMs: 24 * HOUR },
];

/**
 * Each key has `before` calls before the measurement. If a key would reach its limit during a run, each run starts with a new
 * limiter (`fresh`) and ends after `calls` calls.
 *
 * A hot key can be allowed without end only with a short window and a high limit. The other keys are far from their limits, as
 * they are in practice.
 */
export const SHAPES = [
  { name: "1 key, allowed, 50,000 in 1 ms", keys: 1, limits: one(50_000, 1), before: 0, unkeyed: true },
  { name: "1 key, denied, 10 in 1 h", keys: 1, limits: one(10), before: 11, denied: true },
  { name: "1 key, denied, 10,000 in 1 h", keys: 1, limits: one(10_000), before: 10_001, denied: true },
  { name: "10k keys, allowed, 10 in 1 h", keys: 10_000, limits: one(10), before: 1, fresh: true, calls: 80_000 },
  { name: "10k keys, allowed, 100 in 1 h", keys: 10_000, limits: one(100), before: 1, fresh: true, calls: 300_000 },
  {
    name: "10k keys, allowed, 10,000 in 1 h",
    keys: 10_000,
    limits: one(10_000),
    before: 1,
    fresh: true,
    calls: 300_000,
  },
  { name: "10k keys, denied, 100 in 1 h", keys: 10_000, limits: one(100), before: 101, denied: true },
  { name: "10k keys, allowed, three limits", keys: 10_000, limits: THREE, before: 1, fresh: true, calls: 300_000 },
  { name: "sync: 1 key, allowed, 50,000 in 1 ms", keys: 1, limits: one(50_000, 1), before: 0, sync: true },
  {
    name: "sync: 10k keys, allowed, 100 in 1 h",
    keys: 10_000,
    limits: one(100),
    before: 1,
    fresh: true,
    calls: 300_000,
    sync: true,
  },
  { name: "1M keys, allowed, 100 in 1 h", keys: 1_000_000, limits: one(100), before: 1 },
  { name: "1M keys, denied, 1 in 1 h", keys: 1_000_000, limits: one(1), before: 1, denied: true },
];

/** The shapes for quick runs and for other runtimes. */
export const FEW = ["1 key, allowed, 50,000 in 1 ms", "10k keys, allowed, 100 in 1 h", "10k keys, denied, 100 in 1 h"];

/** Keys in an order that differs from their order in memory. */
export function keysOf(count) {
  const step = count === 1 ? 1 : 7919;
  return Array.from({ length: count }, (_, at) => `user:${(at * step) % count}`);
}
