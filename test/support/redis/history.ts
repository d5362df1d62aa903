/** What became of one call of a fleet, by the server's clock. */
export interface FleetCall {
  readonly key: string;
  /** When it was decided, rounded down. */
  readonly now: number;
  /** What was recorded, rounded up; null for a refused call. */
  readonly stamp: number | null;
}

interface FleetLimit {
  readonly maxCalls: number;
  readonly periodMs: number;
}

/**
 * What was wrong with a history, in words: more admitted than a limit in some window, or refused where no window forced it.
 * The order of calls of one millisecond is not known, so a refusal is forced by any of them.
 */
export function faultsOf(calls: readonly FleetCall[], limits: readonly FleetLimit[]): string[] {
  const faults: string[] = [];
  for (const key of new Set(calls.map((call) => call.key))) {
    const ofKey = calls.filter((call) => call.key === key);
    const stamps = ofKey.flatMap(({ stamp }) => stamp ?? []).sort((a, b) => a - b);
    for (const { maxCalls, periodMs } of limits) {
      for (const [at, first] of stamps.entries()) {
        const last = stamps[at + maxCalls];
        if (last !== undefined && last - first < periodMs) faults.push(`${key}: ${maxCalls + 1} in ${last - first} ms`);
      }
    }
    for (const { now, stamp } of ofKey) {
      if (stamp !== null) continue;
      const isForced = limits.some(
        ({ maxCalls, periodMs }) => between(stamps, now - periodMs + 1, now + 1) >= maxCalls,
      );
      if (!isForced) faults.push(`${key}: refused at ${now} for nothing`);
    }
  }
  return faults;
}

/** How many of the sorted stamps lie from `first` to `last`. */
function between(stamps: readonly number[], first: number, last: number): number {
  return below(stamps, last + 1) - below(stamps, first);
}

function below(stamps: readonly number[], instant: number): number {
  let [least, most] = [0, stamps.length];
  while (least < most) {
    const middle = (least + most) >> 1;
    if (stamps[middle]! < instant) least = middle + 1;
    else most = middle;
  }
  return least;
}
