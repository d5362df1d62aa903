import type { Send } from "./client.js";

/** A client as this package uses it. */
export interface Connection {
  /** Sends a command to whoever has its keys, of which `key` is one, and again only until `isLate`. */
  readonly send: (command: string[], key: string, isLate?: () => boolean) => Promise<unknown>;
  /** Each server that has keys of its own: the one there is, or the primaries of a cluster. */
  readonly primaries: () => Promise<readonly Send[]>;
  /** Whether the keys of one command must share a slot. */
  readonly isCluster: boolean;
  /** What the client itself puts before every key of a command, and leaves in the keys that Redis replies with. */
  readonly ownPrefix: string;
}
