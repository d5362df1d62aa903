// Schedules of a caller who exceeds the limit: ordered lists of `[instant, calls]`. Instants are in milliseconds, and rounded to
// multiples of `grain`.

/** Numbers from 0 to 1 that are the same in every run (mulberry32). */
export function seeded(seed) {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

/** Calls around the boundaries of windows, for counters whose window starts at the first call and for those aligned to the clock. */
export function adversarial(limit, windowMs) {
  const all = [];
  for (const phase of [0, 0.37 * windowMs]) {
    for (const early of [0.9, 1, 5, windowMs / 2]) {
      for (const late of [0, 0.1, 1]) {
        const [end, start] = [windowMs - early, windowMs + late];
        const trickle = Array.from({ length: 100 }, (_, at) => [phase + start + 1 + (at * windowMs) / 100, 3]);
        // One call opens the window, one burst comes at its end, and the next right after.
        all.push([
          [phase, 1],
          [phase + end, limit],
          [phase + start, limit],
        ]);
        all.push([
          [phase, limit],
          [phase + start, limit],
        ]);
        // The same, followed by a trickle of calls.
        all.push([[phase, 1], [phase + end, limit], [phase + start, limit], ...trickle]);
      }
    }
  }
  // Calls at fractions of a millisecond.
  all.push([
    [0.9, limit],
    [windowMs, limit],
    [windowMs + 0.9, limit],
  ]);
  return all;
}

/** A random schedule. Most gaps are near the boundaries of windows. */
export function random(next, limit, windowMs) {
  const gaps = [0, 1, 2, windowMs / 2, windowMs - 1, windowMs, windowMs + 1];
  const pick = (list) => list[Math.floor(next() * list.length)];
  let at = 0;
  return Array.from({ length: 3 + Math.floor(next() * 15) }, () => {
    at += next() < 0.6 ? pick(gaps) : next() * windowMs;
    return [at, pick([1, 2, Math.ceil(limit / 2), limit - 1, limit, limit + 5])];
  });
}

/** A variation of a schedule: one burst is moved, resized, deleted or added. */
export function changed(next, schedule, limit, windowMs) {
  const copy = schedule.map((burst) => [...burst]);
  const at = Math.floor(next() * copy.length);
  const way = next();
  if (way < 0.5) copy[at][0] = Math.max(0, copy[at][0] + (next() - 0.5) * (next() < 0.5 ? 4 : windowMs));
  else if (way < 0.8) copy[at][1] = 1 + Math.floor(next() * (limit + 5));
  else if (way < 0.9 && copy.length > 2) copy.splice(at, 1);
  else copy.push([next() * 3 * windowMs, limit]);
  return copy.sort((a, b) => a[0] - b[0]);
}

export const toGrain = (schedule, grain) =>
  schedule.map(([at, calls]) => [grain === 0 ? at : Math.round(at / grain) * grain, calls]);
