import type { LogTable } from "./log-table.js";

/** Where the hand stands: an entry of a table. */
export interface Position {
  table: number;
  place: number;
}

/** A key that is not to be forgotten. */
export interface Spared {
  readonly table: LogTable;
  readonly place: number;
}

/** A key to forget, by its name as well: its place may have changed by the time it is forgotten. */
export interface Victim extends Spared {
  readonly key: string;
  /** Forgetting it loses live calls. */
  readonly isLive: boolean;
}

/** What the hand found by looking for room. */
export interface Room {
  /** How many of the newcomers there is room for. */
  readonly places: number;
  /** Milliseconds until there may be room for the next; 0 where there is room for all. */
  readonly wait: number;
  /** The keys to forget for them. */
  readonly victims: readonly Victim[];
  /** Where the hand stands afterwards. */
  readonly next: Position;
}
