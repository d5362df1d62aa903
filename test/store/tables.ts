import { StoreTime } from "../../src/core/store-time.js";
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
    this.space = new MemorySpace(
      {
        time: new StoreTime(this.clock),
        hand,
        exclusively: (section) => section(),
        enter: () => undefined,
        leave: () => undefined,
      },
      this.table,
    );
  }

  /** Every log, byte for byte. */
  contents(): number[][] {
    return Array.from({ length: this.table.size }, (_, place) => [...this.table.at(place)]);
  }
}
