import type { Decision } from "../core/decision.js";
import { publish, published } from "../core/copies.js";
import { receiptOf, makeDecision } from "../core/decision.js";
import { argumentError } from "../core/validate.js";
import { decideSync, decideAsync } from "./all-or-nothing.js";
import type { CallOptions } from "./options.js";
import { assertKey, parseCost } from "./options.js";
import { unlimitedDecision } from "./decide.js";
import type { MemberCall, PublishedLimiter } from "./member-call.js";
import type { RateLimiter } from "./rate-limiter.js";

/** Limiters by name: the members of an {@link AllOf}. Their keys are left out here, or they would be inferred from it. */
type Members = Readonly<Record<string, Pick<RateLimiter, "name" | "limits">>>;

/** The key of each member; `null` where its limit does not apply to this call. */
export type AllOfKeys<M extends Members> = {
  readonly [N in keyof M]: (M[N] extends Pick<RateLimiter<infer K>, "check"> ? K : never) | null;
};

/** A {@link Decision} over several keys: the refusing member's, else that of the member with least remaining. */
export interface AllOfDecision<N extends string = string> extends Decision {
  /** Whose decision this is. Example: `"ip"`. */
  readonly member: N;
  /** What each member decided for itself; `null` for one that does not apply, or was not asked any more. */
  readonly members: Readonly<Record<N, Decision | null>>;
}

/** Several limiters, each with a key of its own, asked as one. Made by {@link allOf}. */
export class AllOf<M extends Members> {
  static {
    publish(this.prototype, "allOf");
  }

  readonly #members: readonly (readonly [name: string, limiter: RateLimiter<never>, link: PublishedLimiter])[];

  constructor(members: M) {
    if (typeof members !== "object" || (members as unknown) === null || Array.isArray(members)) {
      throw new TypeError(argumentError("members", "an object of limiters by name", members));
    }
    this.#members = Object.entries(members).map(([name, limiter]) => {
      const link = published(`members.${name}`, limiter, "limiter") as PublishedLimiter | undefined;
      if (link?.isLimiter(limiter) !== true) {
        const rule = "a limiter, and neither a copy nor a proxy of one";
        throw new TypeError(argumentError(`members.${name}`, rule, limiter));
      }
      return [name, limiter as RateLimiter<never>, link];
    });
    if (this.#members.length === 0)
      throw new RangeError(argumentError("members", "an object of at least one limiter", "{}"));
    const limiters = this.#members.map(([, limiter]) => limiter);
    const [twice] = this.#members.filter(([, limiter], at) => limiters.indexOf(limiter) !== at);
    if (twice !== undefined) {
      throw new TypeError(argumentError(`members.${twice[0]}`, "a limiter that no other name has", "the same limiter"));
    }
  }

  /** Whether a call may go ahead; it is recorded by every member if so. The short form of {@link check}. */
  async isAllowed(keys: AllOfKeys<M>, options?: CallOptions): Promise<boolean> {
    return (await this.check(keys, options)).allowed;
  }

  /**
   * Decides on a call by every member, and records it in all of them if none refuses, else in none.
   *
   * In memory that is one synchronous run: every member's limits are read once, all are judged, room for every new key
   * included, then all spend, and no `onDecision` runs in between. In Redis that is one script, if all members have the same
   * client (in a cluster: and their keys one hash tag). Otherwise the members are asked one after another, always in the order
   * in which the limiters were made, and what the earlier ones spent is refunded when a later one refuses: until then others
   * see those calls counted, and may be refused for them.
   *
   * @throws TypeError (as a rejection) when a member's key is missing or not a string; `null` says that it does not apply.
   */
  async check(keys: AllOfKeys<M>, options?: CallOptions): Promise<AllOfDecision<keyof M & string>> {
    const asked = this.#asked(keys, parseCost(options));
    return this.#combined(decideSync(asked) ?? (await decideAsync(asked)));
  }

  /**
   * Takes back what `decision` spent in every member, exactly that and once; true if anything was. Where `refund` of a member
   * would take back nothing, its call stays counted.
   */
  async refund(decision: Decision): Promise<boolean> {
    return receiptOf(decision)?.refund() ?? false;
  }

  /** Forgets every key of every member. */
  reset(): Promise<void>;
  /** Forgets each member's key; those that are `null` are left alone. */
  reset(keys: AllOfKeys<M>): Promise<void>;
  async reset(...target: [] | [keys: AllOfKeys<M>]): Promise<void> {
    const [keys] = target;
    const resets =
      target.length === 0
        ? this.#members.map(([, limiter]) => limiter.reset())
        : this.#keyed(keys).map(([, limiter, key]) => limiter.reset(key));
    await Promise.all(resets);
  }

  /** The members that apply, with their keys, all of them checked before anything happens. */
  #keyed(keys: unknown): [name: string, limiter: RateLimiter<never>, key: never, link: PublishedLimiter][] {
    if (typeof keys !== "object" || keys === null) {
      throw new TypeError(argumentError("keys", `an object of a key for each of ${this.#names()}`, keys));
    }
    const unknown = Object.keys(keys).find((name) => this.#members.every(([member]) => member !== name));
    if (unknown !== undefined)
      throw new TypeError(argumentError("keys", `an object of a key for each of ${this.#names()}`, unknown));
    return this.#members.flatMap(([name, limiter, link]) => {
      const key = Object.hasOwn(keys, name) ? (keys as Record<string, unknown>)[name] : undefined;
      if (key === null) return [];
      assertKey(key, `keys.${name}`);
      return [[name, limiter, key as never, link]];
    });
  }

  #asked(keys: unknown, cost: number): [name: string, part: MemberCall][] {
    return this.#keyed(keys).map(([name, limiter, key, link]) => [name, link.memberCall(limiter, key, cost)]);
  }

  #combined(decisions: ReadonlyMap<string, Decision>): AllOfDecision {
    const [[first, limiter]] = this.#members as [[string, RateLimiter<never>, PublishedLimiter]];
    let [member, binding]: [string, Decision | undefined] = [first, undefined];
    for (const [name, decision] of decisions) {
      if (binding === undefined || binds(decision, binding)) [member, binding] = [name, decision];
    }
    // Where no limit applies nobody is asked, as when the call is bypassed.
    binding ??= unlimitedDecision(limiter.limits, 0);
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
 * Several limiters asked as one, each with a key of its own: a call passes if none refuses, and is recorded in all or in
 * none.
 *
 * Each member keeps its own limits, mode and bypass. A key of `null` says that a member's limit does not apply to this call
 * (nobody is logged in); a missing key is a `TypeError`, because it is a key that got lost.
 *
 * @throws TypeError when a member is no limiter of this package, or of an incompatible copy of it, or one limiter is named
 *   twice.
 *
 * @example
 * const both = allOf({ ip: ipLimiter, user: userLimiter });
 * const { allowed, member } = await both.check({ ip, user: session?.userId ?? null });
 */
export function allOf<M extends Members>(members: M): AllOf<M> {
  return new AllOf(members);
}

/**
 * Whether `decision` speaks for all rather than `other`: a refusal, the longer wait, or else the less that remains. Who let
 * the call through without counting it, in shadow mode or bypassed, speaks only where everybody did.
 */
function binds(decision: Decision, other: Decision): boolean {
  const rank = ({ allowed, shadowed, bypassed }: Decision): number =>
    allowed ? 1 + Number(shadowed) + 2 * Number(bypassed) : 0;
  if (rank(decision) !== rank(other)) return rank(decision) < rank(other);
  return decision.allowed ? decision.remaining < other.remaining : decision.retryAfterMs > other.retryAfterMs;
}
