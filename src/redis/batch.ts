import type { StoreError } from "../core/errors.js";
import type { Namespace, BatchResult, StoreResult } from "../store/store.js";
import type { ScriptRunner } from "./script-runner.js";
import { CrossSlotError, UnreachableError } from "./script-runner.js";
import { numbersIn } from "./reply.js";
import { SCRIPT_OF_SEVERAL } from "./script.js";

/** One key of a batch: what its namespace contributes. */
export interface BatchEntry {
  readonly server: ScriptRunner;
  /** The key in Redis. */
  readonly name: string;
  readonly mayRefuse: boolean;
  /** The arguments of the script for this key. Call it right before they are sent. */
  readonly args: () => readonly string[];
  /** How many numbers the script returns for this key. */
  readonly replyLength: number;
  /** The result of the deny cache; undefined if it does not refuse the call. */
  readonly cachedDenial: () => StoreResult | undefined;
  /** Reads the numbers of this key, from `start` on. */
  readonly parse: (numbers: readonly number[], start: number, isRecorded: boolean) => StoreResult;
  /** Decides while Redis is unreachable. */
  readonly fallback: (failure: StoreError) => Pick<Namespace, "check">;
}

/**
 * Checks several keys by one command, all or nothing. Returns undefined if one command cannot do that: then nothing was recorded.
 *
 * If the keys belong to several stores of one client, the timeout and the circuit breaker of the first one apply.
 *
 * @param entries - undefined for a key that is not in Redis.
 */
export async function checkBatch(entries: readonly (BatchEntry | undefined)[]): Promise<BatchResult | undefined> {
  const known = entries.filter((entry) => entry !== undefined);
  const [first] = known;
  if (first === undefined || known.length < entries.length) return undefined;
  const { server } = first;
  const names = known.map(({ name }) => name) as [string, ...string[]];
  // Two calls of one key are not independent: whether the second one passes depends on the first.
  const fitsOneCommand =
    new Set(names).size === names.length && known.every((entry) => entry.server.client === server.client);
  if (!fitsOneCommand || !server.shareSlot(names)) return undefined;
  const denials = known.map((entry) => (entry.mayRefuse ? entry.cachedDenial() : undefined));
  if (denials.some((denial) => denial !== undefined)) return { results: denials };
  try {
    return { results: parseAll(await server.run(SCRIPT_OF_SEVERAL, names, known.flatMap(argsOf)), known) };
  } catch (failure) {
    if (failure instanceof CrossSlotError) return undefined;
    if (!(failure instanceof UnreachableError)) throw failure;
    for (const other of new Set(known.map((entry) => entry.server))) if (other !== server) other.reportFailure(failure);
    return { checkers: known.map((entry) => entry.fallback(failure)) };
  }
}

function argsOf({ mayRefuse, args }: BatchEntry): string[] {
  const own = args();
  return [mayRefuse ? "1" : "0", String(own.length), ...own];
}

function parseAll(reply: unknown, entries: readonly BatchEntry[]): StoreResult[] {
  const numbers = numbersIn(
    reply,
    entries.reduce((sum, { replyLength }) => sum + replyLength, 1),
  );
  const isRecorded = numbers[0] === 1;
  let start = 1;
  return entries.map((entry) => {
    const result = entry.parse(numbers, start, isRecorded);
    start += entry.replyLength;
    return result;
  });
}
