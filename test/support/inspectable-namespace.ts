import type { TimestampLog } from "../../src/core/sliding-window.js";
import { Evictor } from "../../src/store/memory/evictor.js";
import { KeyTable } from "../../src/store/memory/key-table.js";
import { MemoryNamespace } from "../../src/store/memory/memory-namespace.js";
import { StoreTime } from "../../src/store/store-time.js";
import { ManualClock } from "../../src/testing/index.js";

/** A namespace of the same parts as one of a MemoryStore, with a visible table. */
export class InspectableNamespace {
  readonly clock = new ManualClock();
  readonly table: KeyTable;
  readonly namespace: MemoryNamespace;

  constructor(longestMs: number, maxKeys: number = 1000) {
    const evictor = new Evictor(maxKeys, true);
    this.table = new KeyTable(longestMs);
    evictor.add(this.table);
    this.namespace = new MemoryNamespace(new StoreTime(this.clock), evictor, this.table, () => undefined);
  }

  /** The timestamps of every log, newest first, and its identity. */
  contents(): { id: number; timestamps: number[] }[] {
    const { table } = this;
    return Array.from({ length: table.size }, (_, at) => {
      return { id: table.idAt(at + 1), timestamps: timestampsOf(table.logAt(at + 1)) };
    });
  }
}

/** The timestamps of a log, newest first, including expired ones that are not overwritten yet. */
export function timestampsOf(log: TimestampLog): number[] {
  const timestamps: number[] = [];
  for (let n = 1; log.nthMostRecent(n) !== -Infinity; n += 1) timestamps.push(log.nthMostRecent(n));
  return timestamps;
}
