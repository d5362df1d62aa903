import type { StoreError } from "../../core/errors.js";
import type { Namespace, BatchResult, StoreResult } from "../store.js";
import type { AllMember, DecisionReply } from "./backend.js";
import { CrossSlotError, UnreachableError } from "./backend.js";
import type { GuardedBackend } from "./guarded-backend.js";

/** One key of a batch: what its namespace contributes. */
export interface BatchEntry {
  readonly server: GuardedBackend;
  readonly member: AllMember;
  /** Call this right before the call is sent. */
  readonly willSend: () => void;
  /** The result of the deny cache; undefined if it does not refuse the call. */
  readonly cachedDenial: () => StoreResult | undefined;
  /** Whether a refusal of this key may be a strike. */
  readonly mayStrike: boolean;
  /** The result of the reply. */
  readonly resultOf: (reply: DecisionReply, isRecorded: boolean) => StoreResult;
  /** Decides while the server is unreachable. */
  readonly fallback: (failure: StoreError) => Pick<Namespace, "check">;
}

/**
 * Checks several keys by one call, all or nothing, in the order of the entries. Returns undefined if one call cannot do that: then
 * nothing was recorded.
 *
 * If the keys belong to several stores of one client, the timeout and the circuit breaker of the first one apply.
 *
 * @param entries - undefined for a key that is not in such a store.
 */
export async function checkBatch(entries: readonly (BatchEntry | undefined)[]): Promise<BatchResult | undefined> {
  const known = entries.filter((entry) => entry !== undefined);
  const [first] = known;
  if (first === undefined || known.length < entries.length) return undefined;
  const { server } = first;
  const { backend } = server;
  const members = known.map(({ member }) => member);
  // Two calls of one key are not independent: whether the second one passes depends on the first.
  const areIndependent = new Set(members.map(({ key }) => key)).size === members.length;
  if (!areIndependent || !known.every((entry) => entry.server.backend === backend)) return undefined;
  if (new Set(members.map(({ key }) => backend.groupOf(key))).size > 1) return undefined;
  const denials = known.map(({ member, cachedDenial }) => (member.mayRefuse ? cachedDenial() : undefined));
  // A refusal is a strike if no member before it refuses, so a denial decides nothing for those before it that may strike.
  const decisive = denials.findIndex((denial) => denial !== undefined);
  if (decisive >= 0 && !known.slice(0, decisive).some(({ mayStrike }) => mayStrike)) return { results: denials };
  for (const { willSend } of known) willSend();
  // Calls of these keys may wait for other runs: earlier ones are sent before this one, and later ones after it.
  const isSpread = known.some((entry) => !entry.server.sharesRuns(server));
  const flush = (): void => {
    if (isSpread) for (const entry of known) entry.server.flush();
  };
  flush();
  const reply = server.run({ method: "all", members });
  flush();
  try {
    const { isRecorded, members: replies } = await reply;
    return { results: known.map(({ resultOf }, at) => resultOf(replies[at] as DecisionReply, isRecorded)) };
  } catch (failure) {
    server.reportFailure(failure);
    if (failure instanceof CrossSlotError) return undefined;
    if (!(failure instanceof UnreachableError)) throw failure;
    for (const other of new Set(known.map((entry) => entry.server))) if (other !== server) other.reportFailure(failure);
    return { checkers: known.map((entry) => entry.fallback(failure)) };
  }
}
