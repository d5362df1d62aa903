import type { StoreError } from "../core/errors.js";
import type { Namespace, BatchResult, StoreResult } from "../store/store.js";
import type { ScriptRunner } from "./script-runner.js";
import { CrossSlotError, UnreachableError } from "./script-runner.js";
import { numbersIn } from "./reply.js";
import { SCRIPT_OF_SEVERAL } from "./script.js";

/** One key's share in a call about several: what its space makes of it. */
export interface BatchEntry {
  readonly server: ScriptRunner;
  /** The key as Redis knows it. */
  readonly name: string;
  readonly mayRefuse: boolean;
  /** The arguments of the script for this key. Call it right before they are sent. */
  readonly words: () => readonly string[];
  /** How many numbers the script replies for this key. */
  readonly amount: number;
  /** What Redis has refused already. */
  readonly denial: () => StoreResult | undefined;
  /** Reads its numbers, from `start` on. */
  readonly verdict: (numbers: readonly number[], start: number, isRecorded: boolean) => StoreResult;
  /** Who answers while Redis cannot. */
  readonly instead: (failure: StoreError) => Pick<Namespace, "check">;
}

/**
 * Asks about several keys by one command, for all or nothing; undefined where one command cannot: then nothing has happened.
 *
 * Where they are of several stores with one client, it is the first one's timeout that counts, and its circuit breaker.
 *
 * @param shares - undefined for a key that is not in Redis.
 */
export async function checkBatch(shares: readonly (BatchEntry | undefined)[]): Promise<BatchResult | undefined> {
  const known = shares.filter((share) => share !== undefined);
  const [first] = known;
  if (first === undefined || known.length < shares.length) return undefined;
  const { server } = first;
  const names = known.map(({ name }) => name) as [string, ...string[]];
  // One key twice is one log that two calls spend of: whether the second passes depends on the first.
  const isFit = new Set(names).size === names.length && known.every((share) => share.server.client === server.client);
  if (!isFit || !server.shareSlot(names)) return undefined;
  const denials = known.map((share) => (share.mayRefuse ? share.denial() : undefined));
  if (denials.some((denial) => denial !== undefined)) return { verdicts: denials };
  try {
    return { verdicts: verdictsFrom(await server.run(SCRIPT_OF_SEVERAL, names, known.flatMap(wordsOf)), known) };
  } catch (failure) {
    if (failure instanceof CrossSlotError) return undefined;
    if (!(failure instanceof UnreachableError)) throw failure;
    for (const other of new Set(known.map((share) => share.server))) if (other !== server) other.tell(failure);
    return { inOrder: known.map((share) => share.instead(failure)) };
  }
}

function wordsOf({ mayRefuse, words }: BatchEntry): string[] {
  const own = words();
  return [mayRefuse ? "1" : "0", String(own.length), ...own];
}

function verdictsFrom(reply: unknown, shares: readonly BatchEntry[]): StoreResult[] {
  const numbers = numbersIn(
    reply,
    shares.reduce((sum, share) => sum + share.amount, 1),
  );
  const isRecorded = numbers[0] === 1;
  let start = 1;
  return shares.map((share) => {
    const verdict = share.verdict(numbers, start, isRecorded);
    start += share.amount;
    return verdict;
  });
}
