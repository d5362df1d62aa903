import type { Decision } from "../core/decision.js";
import { publish, published } from "../core/copies.js";
import { receiptOf, makeDecision } from "../core/decision.js";
import { warn } from "../core/callbacks.js";
import { rangeError, typeError, memberOf, parseOptions } from "../core/validate.js";
import { checkInMemory } from "../store/memory/batch.js";
import type { AsyncStore, BatchItem, BatchResult, Namespace, StoreResult } from "../store/store.js";
import type { CallRequest } from "./options.js";
import { assertKey, parseCall } from "./options.js";
import { bypassedDecision } from "./decide.js";
import type { MemberCall, PublishedLimiter, RateLimiter } from "./rate-limiter.js";

/** Limiters by name: the members of an {@link AllOf}. The type of keys is left out, because it would be inferred from here. */
type Members = Readonly<Record<string, Pick<RateLimiter, "name" | "limits">>>;

/** The key of each member; `null` where its limit does not apply to this call. */
export type AllOfKeys<M extends Members> = {
  readonly [N in keyof M]: (M[N] extends Pick<RateLimiter<infer K>, "check"> ? K : never) | null;
};

/** Options of one call of an {@link AllOf}. */
export interface AllOfOptions<M extends Members> {
  /** How many calls it counts as in each member. A whole number of at least 1. @default 1 */
  readonly cost?: number | undefined;
  /** The `maxCalls` of this call by member, each what that member takes. A member that is absent keeps its limits. */
  readonly maxCalls?: AllOfMaxCalls<M> | undefined;
}

/** The `maxCalls` that each member takes. */
export type AllOfMaxCalls<M extends Members> = {
  readonly [N in keyof M]?: (M[N] extends Pick<RateLimiter<never, infer C>, "setMaxCalls"> ? C : never) | undefined;
};

/** A {@link Decision} about several keys: that of the member that refuses, else that of the member with the least remaining. */
export interface AllOfDecision<N extends string = string> extends Decision {
  /** Whose decision this is. Example: `"ip"`. */
  readonly member: N;
  /** The decision of each member; `null` for one that does not apply, or that was not checked because another refused first. */
  readonly members: Readonly<Record<N, Decision | null>>;
}

/** Several limiters, each with its own key, that decide a call together. Made by {@link allOf}. */
export class AllOf<M extends Members> {
  static {
    publish(this.prototype, "allOf");
  }

  readonly #members: readonly (readonly [name: string, limiter: RateLimiter<never>, link: PublishedLimiter])[];

  constructor(members: M) {
    if (typeof members !== "object" || (members as unknown) === null || Array.isArray(members)) {
      throw typeError("members", "an object of limiters by name", members);
    }
    this.#members = Object.entries(members).map(([name, limiter]) => {
      const link = published(`members.${name}`, limiter, "limiter") as PublishedLimiter | undefined;
      if (link?.isLimiter(limiter) !== true) {
        const rule = "a limiter, and neither a copy nor a proxy of one";
        throw typeError(`members.${name}`, rule, limiter);
      }
      return [name, limiter as RateLimiter<never>, link];
    });
    if (this.#members.length === 0) throw rangeError("members", "an object of at least one limiter", "{}");
    const limiters = this.#members.map(([, limiter]) => limiter);
    const [twice] = this.#members.filter(([, limiter], at) => limiters.indexOf(limiter) !== at);
    if (twice !== undefined) {
      throw typeError(`members.${twice[0]}`, "a limiter that no other name has", "the same limiter");
    }
  }

  /** Checks whether a call is allowed, and records it in every member if it is. The short form of {@link check}. */
  async isAllowed(keys: AllOfKeys<M>, options?: AllOfOptions<M>): Promise<boolean> {
    return (await this.check(keys, options)).allowed;
  }

  /**
   * Decides a call by every member, and records it in all of them if none refuses, else in none.
   *
   * In memory that is one synchronous run: it reads the limits of every member once, checks all of them and the room for every
   * new key, and then records; no `onDecision` runs in between. In Redis it is one script, if all members have the same client
   * (and, in a cluster, their keys the same hash tag). Otherwise the members are checked one after another, in the order in which
   * the limiters were created, and what the earlier ones recorded is refunded when a later one refuses. Until then those calls
   * count, and other calls may be refused for them.
   *
   * If several members refuse the call, only the first of them in the order of `allOf` locks its key (`lockFor`); where they are
   * checked one after another, the first that is checked. A locked member refuses the call as a limit does.
   *
   * @throws TypeError (as a rejection) if the key of a member is missing or not a string; `null` means that it does not apply.
   *
   * @example
   * await both.check({ ip, tenant }, { maxCalls: { tenant: plan.callsPerMinute } });
   */
  async check(keys: AllOfKeys<M>, options?: AllOfOptions<M>): Promise<AllOfDecision<keyof M & string>> {
    const calls = this.#calls(keys, parseCall(options));
    return this.#combined(decideSync(calls) ?? (await decideAsync(calls)));
  }

  /**
   * Removes from every member what `decision` recorded, exactly that and once; true if anything was removed. If the `refund` of a
   * member would remove nothing, its call stays counted.
   */
  async refund(decision: Decision): Promise<boolean> {
    return receiptOf(decision)?.refund() ?? false;
  }

  /** Forgets every key of every member. */
  reset(): Promise<void>;
  /** Forgets the key of each member; a member whose key is `null` keeps its logs. */
  reset(keys: AllOfKeys<M>): Promise<void>;
  async reset(...target: [] | [keys: AllOfKeys<M>]): Promise<void> {
    const [keys] = target;
    const resets =
      target.length === 0
        ? this.#members.map(([, limiter]) => limiter.reset())
        : this.#keyed(keys).map(([, limiter, key]) => limiter.reset(key));
    await Promise.all(resets);
  }

  /** The members that apply, with their keys. Checks all keys before anything happens. */
  #keyed(keys: unknown): [name: string, limiter: RateLimiter<never>, key: never, link: PublishedLimiter][] {
    if (typeof keys !== "object" || keys === null) {
      throw typeError("keys", `an object of a key for each of ${this.#names()}`, keys);
    }
    const unknown = Object.keys(keys).find((name) => this.#members.every(([member]) => member !== name));
    if (unknown !== undefined) throw typeError("keys", `an object of a key for each of ${this.#names()}`, unknown);
    return this.#members.flatMap(([name, limiter, link]) => {
      const key = Object.hasOwn(keys, name) ? (keys as Record<string, unknown>)[name] : undefined;
      if (key === null) return [];
      assertKey(key, `keys.${name}`);
      return [[name, limiter, key as never, link]];
    });
  }

  #calls(keys: unknown, { cost, maxCalls = {} }: CallRequest): [name: string, call: MemberCall][] {
    const names = this.#members.map(([name]) => name);
    const own = parseOptions("maxCalls", maxCalls as Readonly<Record<string, unknown>>, names);
    return this.#keyed(keys).map(([name, limiter, key, link]) => {
      return [name, link.memberCall(limiter, key, { cost, maxCalls: own[name] })];
    });
  }

  #combined(decisions: ReadonlyMap<string, Decision>): AllOfDecision {
    const [[first, limiter]] = this.#members as [[string, RateLimiter<never>, PublishedLimiter]];
    let [member, binding]: [string, Decision | undefined] = [first, undefined];
    for (const [name, decision] of decisions) {
      if (binding === undefined || binds(decision, binding)) [member, binding] = [name, decision];
    }
    // If no member applies, the decision is that of a bypassed call.
    binding ??= bypassedDecision(limiter.limits, 0);
    const members = Object.fromEntries(this.#members.map(([name]) => [name, decisions.get(name) ?? null]));
    const refunds = this.#members.flatMap(([name, limiter]) => {
      const decision = decisions.get(name);
      return decision === undefined ? [] : [() => limiter.refund(decision)];
    });
    const receipt = {
      refund: async (): Promise<boolean> => (await Promise.all(refunds.map((refund) => refund()))).includes(true),
    };
    return Object.assign(makeDecision({ ...binding }, binding.allowed ? receipt : undefined), { member, members });
  }

  #names(): string {
    return this.#members.map(([name]) => name).join(", ");
  }
}

/**
 * Combines several limiters, each with its own key: a call is allowed if no member refuses it, and is recorded in all members or
 * in none.
 *
 * Each member keeps its own limits, mode and bypass. A key of `null` means that a member does not apply to this call (no user is
 * logged in, for one). A missing key is a `TypeError`, because it is more likely a mistake.
 *
 * @throws TypeError if a member is not a limiter of this package, or is of an incompatible copy of it, or if one limiter has two
 *   names.
 *
 * @example
 * const both = allOf({ ip: ipLimiter, user: userLimiter });
 * const { allowed, member } = await both.check({ ip, user: session?.userId ?? null });
 */
export function allOf<M extends Members>(members: M): AllOf<M> {
  return new AllOf(members);
}

/**
 * Whether `decision` binds rather than `other`: a refusal before an admission, the longer wait, or the smaller `remaining`. A
 * decision that allows the call without recording it (shadowed or bypassed) binds only if all do.
 */
function binds(decision: Decision, other: Decision): boolean {
  const rank = ({ allowed, shadowed, bypassed }: Decision): number =>
    allowed ? 1 + Number(shadowed) + 2 * Number(bypassed) : 0;
  if (rank(decision) !== rank(other)) return rank(decision) < rank(other);
  return decision.allowed ? decision.remaining < other.remaining : decision.retryAfterMs > other.retryAfterMs;
}

type MemberCalls = readonly (readonly [name: string, call: MemberCall])[];

/**
 * Decides all calls in one synchronous run, then records all or none, if all stores are in memory. Every `bypass` was called
 * before, and `onDecision` is called afterwards: no foreign code but the clocks runs in between.
 *
 * @returns undefined if one of them is in another store.
 */
function decideSync(calls: MemberCalls): Map<string, Decision> | undefined {
  const checked = calls.flatMap(([, call]) => (call.isBypassed ? [] : [call]));
  if (checked.some(({ store }) => !store.synchronous)) return undefined;
  const results = checkInMemory(checked.map((call) => call.item()));
  if (results === undefined) return undefined;
  const decisions = new Map(calls.map(([name, call]) => [name, call.decide(results[checked.indexOf(call)])]));
  notifyAll(calls, decisions);
  return decisions;
}

/** Calls `onDecision` of the members. If the call is refused, only of those that refuse: the others recorded nothing. */
function notifyAll(calls: MemberCalls, decisions: ReadonlyMap<string, Decision>): void {
  const isRefused = [...decisions.values()].some(({ allowed }) => !allowed);
  for (const [name, call] of calls) {
    const decision = decisions.get(name);
    if (decision !== undefined && (!isRefused || !decision.allowed)) call.notify(decision);
  }
}

/** The name of the optional method, which `memberOf` reads. Typed, so that renaming the method is a type error. */
const CHECK_BATCH: keyof AsyncStore = "checkBatch";

/** Decides all calls by one `checkBatch` if the store has that method, else one after another. */
async function decideAsync(calls: MemberCalls): Promise<Map<string, Decision>> {
  const checked = calls.flatMap(([, call]) => (call.isBypassed ? [] : [call]));
  // In the order of creation, whatever the names: of two concurrent calls with the same two keys, one is allowed.
  const ordered = [...calls].sort(([, one], [, other]) => one.order - other.order);
  const [first, second] = checked;
  if (second === undefined || memberOf(first?.store, CHECK_BATCH) === undefined) return decideInOrder(ordered);
  const batch = (await (first?.store as AsyncStore).checkBatch?.(checked.map((call) => call.item()))) as BatchResult;
  if (hasCheckers(batch)) return decideInOrder(ordered, new Map(checked.map((call, at) => [call, batch.checkers[at]])));
  const results = new Map(checked.map((call, at) => [call, batch.results[at]]));
  const decisions = new Map<string, Decision>();
  for (const [name, call] of calls) {
    const result = results.get(call);
    if (call.isBypassed || result !== undefined) decisions.set(name, call.decide(result));
  }
  notifyAll(calls, decisions);
  return decisions;
}

function hasCheckers(batch: BatchResult): batch is Extract<BatchResult, { checkers: unknown }> {
  return Object.hasOwn(batch, "checkers");
}

type Checker = Pick<Namespace, "check">;

/**
 * Decides one call after another, and refunds the earlier ones when one is refused or fails.
 *
 * @param checkers - what decides in place of the namespace of a call.
 */
async function decideInOrder(
  calls: MemberCalls,
  checkers: ReadonlyMap<MemberCall, Checker | undefined> = new Map(),
): Promise<Map<string, Decision>> {
  const decisions = new Map<string, Decision>();
  let isAnyRefused = false;
  try {
    for (const [name, call] of calls) {
      const result = call.isBypassed ? undefined : await resultOf(call.item(), isAnyRefused, checkers.get(call));
      const decision = call.decide(result);
      call.notify(decision);
      decisions.set(name, decision);
      isAnyRefused ||= decision.refusedBy !== null;
      if (!decision.allowed) {
        await refundAll(decisions);
        break;
      }
    }
  } catch (error) {
    await refundAll(decisions);
    throw error;
  }
  return decisions;
}

/** @param isAnyRefused - whether the call of an earlier member was refused, which was in shadow mode then. */
async function resultOf(
  { namespace, key, limits, cost, mayRefuse }: BatchItem,
  isAnyRefused: boolean,
  checker: Checker = namespace,
): Promise<StoreResult> {
  return checker.check(key, limits, cost, mayRefuse || !isAnyRefused);
}

async function refundAll(decisions: ReadonlyMap<string, Decision>): Promise<void> {
  const refunds = [...decisions.values()].map(async (decision) => receiptOf(decision)?.refund());
  for (const refund of await Promise.allSettled(refunds)) {
    if (refund.status === "rejected")
      warn("SLUICEGATE_REFUND_FAILED", "A refund failed; the call of another key stays counted", refund.reason);
  }
}
