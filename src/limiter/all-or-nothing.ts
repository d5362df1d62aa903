import type { Decision } from "../core/decision.js";
import { receiptOf } from "../core/decision.js";
import { memberOf } from "../core/validate.js";
import { warn } from "../core/callbacks.js";
import { reserveBatch } from "../store/memory/batch.js";
import type { BatchItem, AsyncStore, Namespace, BatchResult, StoreResult } from "../store/store.js";
import type { MemberCall } from "./member-call.js";

/** The parts of a call about several keys, by the names of their members. */
export type MemberCalls = readonly (readonly [name: string, part: MemberCall])[];

/**
 * Decides all calls, then records all or none, in one synchronous run, where all are in memory. Every `bypass` was called
 * before, and `onDecision` is called afterwards: no foreign code but the clocks runs in between.
 *
 * @returns undefined if one is in another store.
 */
export function decideSync(asked: MemberCalls): Map<string, Decision> | undefined {
  const parts = asked.flatMap(([, part]) => (part.isBypassed ? [] : [part]));
  if (parts.some(({ store }) => !store.synchronous)) return undefined;
  const reservation = reserveBatch(parts.map((part) => part.ask()));
  if (reservation === undefined) return undefined;
  const decided = (results: readonly StoreResult[]): Map<string, Decision> =>
    new Map(asked.map(([name, part]) => [name, part.decide(results[parts.indexOf(part)])]));
  let decisions = decided(reservation.results);
  if ([...decisions.values()].every(({ allowed }) => allowed)) decisions = decided(reservation.record());
  announceAll(asked, decisions);
  return decisions;
}

/** Of a refused call only the refusals are told: what the others would have let through did not happen. */
function announceAll(asked: MemberCalls, decisions: ReadonlyMap<string, Decision>): void {
  const isRefused = [...decisions.values()].some(({ allowed }) => !allowed);
  for (const [name, part] of asked) {
    const decision = decisions.get(name);
    if (decision !== undefined && (!isRefused || !decision.allowed)) part.announce(decision);
  }
}

/** Optional in a store, and read without what a polluted prototype has. The type fails to compile if the method is renamed. */
const CHECK_BATCH: keyof AsyncStore = "checkBatch";

/** Asks stores that answer later: about all at once where one can, and else one after another. */
export async function decideAsync(asked: MemberCalls): Promise<Map<string, Decision>> {
  // The order of making, whatever the names: of two calls that share two keys one refuses the other, and not each other.
  const ordered = [...asked].sort(([, one], [, other]) => one.order - other.order);
  const asking = ordered.flatMap(([, part]) => (part.isBypassed ? [] : [part]));
  const [first, second] = asking;
  if (second === undefined || memberOf(first?.store, CHECK_BATCH) === undefined) return inOrder(ordered);
  const answer = (await (first?.store as AsyncStore).checkBatch?.(asking.map((part) => part.ask()))) as BatchResult;
  if (isInOrder(answer)) return inOrder(ordered, new Map(asking.map((part, at) => [part, answer.inOrder[at]])));
  const verdicts = new Map(asking.map((part, at) => [part, answer.verdicts[at]]));
  const decisions = new Map<string, Decision>();
  for (const [name, part] of asked) {
    const verdict = verdicts.get(part);
    if (part.isBypassed || verdict !== undefined) decisions.set(name, part.decide(verdict));
  }
  announceAll(asked, decisions);
  return decisions;
}

function isInOrder(answer: BatchResult): answer is Extract<BatchResult, { inOrder: unknown }> {
  return Object.hasOwn(answer, "inOrder");
}

type Answering = Pick<Namespace, "check">;

/**
 * Asks one after another, and takes back what was spent when one refuses or fails.
 *
 * @param instead - who answers for the space of a part, where it is not the space itself.
 */
async function inOrder(
  asked: MemberCalls,
  instead: ReadonlyMap<MemberCall, Answering | undefined> = new Map(),
): Promise<Map<string, Decision>> {
  const decisions = new Map<string, Decision>();
  try {
    for (const [name, part] of asked) {
      const decision = part.decide(part.isBypassed ? undefined : await answerTo(part.ask(), instead.get(part)));
      part.announce(decision);
      decisions.set(name, decision);
      if (!decision.allowed) {
        await takeBack(decisions);
        break;
      }
    }
  } catch (error) {
    await takeBack(decisions);
    throw error;
  }
  return decisions;
}

async function answerTo(
  { namespace: space, key, limits, cost }: BatchItem,
  answering: Answering = space,
): Promise<StoreResult> {
  return answering.check(key, limits, cost);
}

async function takeBack(decisions: ReadonlyMap<string, Decision>): Promise<void> {
  const refunds = [...decisions.values()].map(async (decision) => receiptOf(decision)?.refund());
  for (const outcome of await Promise.allSettled(refunds)) {
    if (outcome.status === "rejected") warn("A refund failed; the call of another key stays counted", outcome.reason);
  }
}
