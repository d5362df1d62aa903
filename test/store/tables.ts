import { StoreTime } from "../../src/core/store-time.js";
import type { TimestampLog } from "../../src/core/timestamp-log.js";
import { Hand } from "../../src/store/hand.js";
import { LogTable } from "../../src/store/log-table.js";
import { MemorySpace } from "../../src/store/memory-space.js";
import { ManualClock } from "../../src/testing/index.js";

/** A space whose insides can be looked at, made of the same parts as a MemoryStore's. */
export class GlassSpace {
  readonly clock = new ManualClock();
  readonly table: LogTable;
  readonly space: MemorySpace;

  constructor(longestMs: number, maxKeys: number = 1000) {
    const hand = new Hand(maxKeys, true);
    this.table = new LogTable(longestMs, hand.census);
    hand.add(this.table);
    this.space = new MemorySpace({ time: new StoreTime(this.clock), hand }, this.table, () => undefined);
  }

  /** Every log: its stamps, newest first, and which log it is. */
  contents(): { epoch: number; stamps: number[] }[] {
    const { table } = this;
    return Array.from({ length: table.size }, (_, at) => {
      return { epoch: table.epochAt(at + 1), stamps: stampsOf(table.logAt(at + 1)) };
    });
  }
}

/** The stamps of a log, newest first, those included that are dead and not overwritten yet. */
export function stampsOf(log: TimestampLog): number[] {
  const stamps: number[] = [];
  for (let n = 1; log.nthMostRecent(n) !== -Infinity; n += 1) stamps.push(log.nthMostRecent(n));
  return stamps;
}
