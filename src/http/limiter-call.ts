import { andThen, isPromiseLike, warnOnce } from "../core/callbacks.js";
import { countInProcess, published } from "../core/copies.js";
import type { Decision } from "../core/decision.js";
import { argumentError, assertOptionalFunction, parseOptions } from "../core/validate.js";
import type { HttpLimiter } from "./http-limiter.js";
import { CheckedLimiter, httpLimiter } from "./http-limiter.js";
import { isHandlingRequest, noteMadeFor } from "./made-per-request.js";
import type { BySeveral, HttpOptions, MemberOptions, Soon } from "./options.js";
import type { LimiterResult } from "./headers.js";
import { checkPolicyNames } from "./headers.js";
import type { RequestAdapter } from "./request-adapter.js";
import type { AllOfDecision } from "../limiter/all-of.js";
import { allOf } from "../limiter/all-of.js";
import type { RateLimiter } from "../limiter/rate-limiter.js";
import { isLookup } from "../wrap/limiter-like.js";

/** What there is to ask about one request: its limiters and keys are known. */
export interface LimiterCall {
  check(cost: number | undefined): Decision | Promise<Decision>;
  /** What each limiter that was asked said. */
  answersIn(decision: Decision): readonly LimiterResult[];
  /** Whether the limiter that binds is one against abnormal use. */
  isAbuse(decision: Decision): boolean;
  refund(decision: Decision): Promise<unknown>;
}

/**
 * Makes the question about a request; undefined where no limit applies to it.
 *
 * It is there at once where nothing has to be waited for, which is the rule: each promise more is felt on a fast framework.
 */
export type CallResolver<R> = (request: R) => LimiterCall | undefined | Promise<LimiterCall | undefined>;

/** What misuse is noticed by. */
export type MisuseView<R> = Pick<RequestAdapter<R>, "target" | "identity">;

/** What a question is made of beside the options. */
export interface ResolverContext<R> {
  /** How misuse is noticed; undefined where it is not to be warned of. */
  readonly misuse: MisuseView<R> | undefined;
  /** The key of a request's client, where there is no other; null where nobody is to be limited. */
  readonly clientOf: (request: R) => string | null;
  /** The names of limits stand in a header, and must be fit for it. */
  readonly isNamed: boolean;
  readonly needsRefund: boolean;
}

/**
 * Makes what asks about requests: one limiter, or several at once.
 *
 * @throws TypeError when neither or both are given, or a limiter is none; RangeError for the name of a limit that cannot
 *   stand in a header. For what a function returns: as a rejection, at the request.
 */
export function callResolver<R, K extends string, A extends readonly unknown[]>(
  options: HttpOptions<R, K, A>,
  asking: ResolverContext<R>,
): CallResolver<R> {
  if (options.limiters === undefined) {
    return oneLimiter(options.limiter, options.key, asking);
  }
  const { limiter, key }: { limiter?: unknown; key?: unknown } = options;
  for (const [name, value] of Object.entries({ limiter, key })) {
    if (value !== undefined) {
      throw new TypeError(argumentError(name, "absent beside `limiters`, each of which has its own", value));
    }
  }
  return severalLimiters(options.limiters, asking);
}

/** Makes what asks one limiter about requests. */
export function oneLimiter<R, K extends string>(
  limiter: HttpLimiter<K> | ((request: R) => Soon<HttpLimiter<K>>),
  key: ((request: R) => Soon<K | null>) | undefined,
  asking: ResolverContext<R>,
): CallResolver<R> {
  const limiterOf = limiterOfRequest<R, K>("limiter", limiter, asking);
  const keyOf = keyOfRequest("key(request)", key, asking);
  const question = (asked: CheckedLimiter<K>, found: string | null, request: R): LimiterCall | undefined =>
    found === null ? undefined : new OneLimiter(asked, found as K, request, asking.misuse);
  return (request) => {
    // In this order: a key that throws would leave behind the promise of a limiter, whose rejection nobody hears.
    const found = keyOf(request);
    const asked = limiterOf(request);
    if (!isPromiseLike(asked) && !isPromiseLike(found)) return question(asked, found, request);
    return Promise.all([asked, found]).then(([late, lately]) => question(late, lately, request));
  };
}

/** The question to one limiter. A class, because one is made for each request, and methods cost nothing then. */
class OneLimiter<R, K extends string> implements LimiterCall {
  readonly #limiter: CheckedLimiter<K>;
  readonly #key: K;
  readonly #request: R;
  readonly #misuse: MisuseView<R> | undefined;

  constructor(limiter: CheckedLimiter<K>, key: K, request: R, misuse: MisuseView<R> | undefined) {
    this.#limiter = limiter;
    this.#key = key;
    this.#request = request;
    this.#misuse = misuse;
  }

  check(cost: number | undefined): Decision | Promise<Decision> {
    noteCall(this.#request, this.#limiter, this.#key, cost, this.#misuse);
    return this.#limiter.check(this.#key, cost);
  }

  answersIn(decision: Decision): readonly LimiterResult[] {
    const { name, limits } = this.#limiter;
    return [{ name, limits, decision }];
  }

  isAbuse(): boolean {
    return this.#limiter.guardsAgainstAbuse;
  }

  async refund(decision: Decision): Promise<unknown> {
    return this.#limiter.limiter.refund?.(decision);
  }
}

/** Makes what asks several limiters about requests, all or nothing. */
export function severalLimiters<R>(limiters: BySeveral<R>["limiters"], asking: ResolverContext<R>): CallResolver<R> {
  if (typeof limiters !== "object" || (limiters as unknown) === null || Array.isArray(limiters)) {
    throw new TypeError(argumentError("limiters", "an object of limiters by name", limiters));
  }
  const members = Object.entries(limiters).map(([name, value]) => member(name, value, asking));
  if (members.length === 0) {
    throw new RangeError(argumentError("limiters", "an object of at least one limiter", "{}"));
  }
  // Limiters that are the same for all requests are checked now, the others at each request.
  assertCombinable(members.flatMap(({ name, fixed }) => (fixed === undefined ? [] : [[name, fixed]])));
  return async (request) => {
    const asked = await Promise.all(
      members.map(async ({ name, limiterOf, keyOf }) => ({
        name,
        limiter: await limiterOf(request),
        key: await keyOf(request),
      })),
    );
    const applying = asked.filter(({ key }) => key !== null);
    if (applying.length === 0) return undefined;
    assertCombinable(applying.map(({ name, limiter }) => [name, limiter.limiter]));
    const all = allOf(
      Object.fromEntries(applying.map(({ name, limiter }) => [name, limiter.limiter as unknown as RateLimiter])),
    );
    const keys = Object.fromEntries(applying.map(({ name, key }) => [name, key]));
    return {
      check: (cost) => {
        for (const { limiter, key } of applying) noteCall(request, limiter, key as string, cost, asking.misuse);
        return all.check(keys, cost === undefined ? undefined : { cost });
      },
      answersIn: (decision) => {
        const { members: decided } = decision as AllOfDecision;
        return applying.flatMap(({ name, limiter: { limits } }) => {
          const its = decided[name];
          return its === undefined || its === null ? [] : [{ name, limits, decision: its }];
        });
      },
      isAbuse: (decision) => {
        const { member } = decision as AllOfDecision;
        return asked.find(({ name }) => name === member)?.limiter.guardsAgainstAbuse === true;
      },
      refund: (decision) => all.refund(decision),
    };
  };
}

/**
 * Checks that `allOf` can combine limiters, whose own errors do not name the options of HTTP.
 *
 * @throws TypeError if one of them is not a limiter of this package, or has two names.
 */
function assertCombinable(members: readonly (readonly [name: string, limiter: object])[]): void {
  const limiters = members.map(([, limiter]) => limiter);
  for (const [at, [name, limiter]] of members.entries()) {
    const option = `limiters.${name}.limiter`;
    if (published(option, limiter, "limiter") === undefined) {
      throw new TypeError(argumentError(option, "a limiter of this package, which counts several at once", limiter));
    }
    if (limiters.indexOf(limiter) !== at) {
      throw new TypeError(argumentError(option, "a limiter that no other name has", "the same limiter"));
    }
  }
}

interface Member<R> {
  readonly name: string;
  /** The limiter, where it is the same for all requests. */
  readonly fixed: Pick<RateLimiter, "name" | "limits"> | undefined;
  readonly limiterOf: (request: R) => Promise<CheckedLimiter> | CheckedLimiter;
  readonly keyOf: (request: R) => string | null | Promise<string | null>;
}

function member<R>(name: string, value: MemberOptions<R>, asking: ResolverContext<R>): Member<R> {
  const { limiter, key } = parseOptions(`limiters.${name}`, value, ["limiter", "key"]);
  assertOptionalFunction(`limiters.${name}.key`, key);
  const limiterOf = limiterOfRequest<R, string>(`limiters.${name}.limiter`, limiter, asking, name);
  return {
    name,
    fixed: typeof limiter === "function" ? undefined : limiter,
    limiterOf,
    keyOf: keyOfRequest(`limiters.${name}.key(request)`, key, asking),
  };
}

/**
 * The limiter for a request: the one given, or the one that a function finds for it. Each is checked once.
 *
 * @param name - of the option that holds it, for errors.
 * @param label - the name of its policies, in place of its own.
 */
export function limiterOfRequest<R, K extends string>(
  name: string,
  given: HttpLimiter<K> | ((request: R) => Soon<HttpLimiter<K>>),
  { isNamed, needsRefund, misuse }: ResolverContext<R>,
  label?: string,
): (request: R) => CheckedLimiter<K> | Promise<CheckedLimiter<K>> {
  const known = new WeakMap<object, CheckedLimiter<K>>();
  const fit = (value: unknown): CheckedLimiter<K> => {
    const before = known.get(value as object);
    if (before !== undefined) return before;
    const limiter = httpLimiter<K>(name, value, needsRefund);
    const checked = new CheckedLimiter(limiter);
    if (isNamed) {
      const nameOption = label === undefined ? `${name}.name` : "limiters";
      checkPolicyNames(label ?? checked.name, checked.limits, nameOption, `${name}.limits`);
    }
    known.set(limiter, checked);
    return checked;
  };
  const identify = misuse?.identity;
  const noteMade = (request: R, { isInMemory, warns }: CheckedLimiter<K>): void => {
    if (identify !== undefined && isInMemory && warns) noteMadeFor(identify(request));
  };
  if (isLookup(given)) {
    return async (request) => {
      const madeBefore = countInProcess();
      const found = await given(request);
      const isNew = !known.has(found);
      const checked = fit(found);
      if (isNew && countInProcess() > madeBefore) noteMade(request, checked);
      return checked;
    };
  }
  const fixed = fit(given);
  let isMadeForOne = identify !== undefined && !fixedBefore.has(given) && isHandlingRequest();
  fixedBefore.add(given);
  return (request) => {
    if (isMadeForOne) {
      isMadeForOne = false;
      noteMade(request, fixed);
    }
    return fixed;
  };
}

/** The limiters that were handed over once: those are not made for a request, whatever is made around them. */
const fixedBefore = new WeakSet();

/** The key for a request, digested where it is long; null where the limit does not apply. */
export function keyOfRequest<R>(
  name: string,
  key: ((request: R) => Soon<string | null>) | undefined,
  { clientOf }: ResolverContext<R>,
): (request: R) => string | null | Promise<string | null> {
  const fit = (found: string | null): string | null | Promise<string> => {
    if (found === null) return null;
    if (typeof found === "string") return hashLongKey(found);
    throw new TypeError(argumentError(name, "a string, or null where the limit does not apply", found));
  };
  if (key === undefined) return clientOf;
  return (request) => andThen(key(request), fit);
}

/** What Node, browsers and edge workers have in common, and ES2022 does not name. */
declare const crypto: { readonly subtle: { digest(algorithm: "SHA-256", data: Uint8Array): Promise<ArrayBuffer> } };

/** Longer than any address, id or e-mail address, and short enough to be kept a million times. */
const LONGEST_KEY = 256;
const PREFIX = "sha256:";

/**
 * The key itself, or its SHA-256 when it is longer than 256 characters: a client that chooses the key does not choose how
 * much memory it takes.
 *
 * A key that begins like a digest is digested as well. So every result that begins like one is the digest of its key, and
 * two different keys never share a bucket.
 */
export function hashLongKey(key: string): string | Promise<string> {
  return key.length <= LONGEST_KEY && !key.startsWith(PREFIX) ? key : digestOf(key);
}

async function digestOf(key: string): Promise<string> {
  // Code units, and not UTF-8: there, all lone surrogates are one, and two keys would be.
  const units = new Uint8Array(2 * key.length);
  for (let at = 0; at < key.length; at += 1) {
    const unit = key.charCodeAt(at);
    units[2 * at] = unit >> 8;
    units[2 * at + 1] = unit & 255;
  }
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", units));
  return `${PREFIX}${Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}

/** The limiter of a call, whatever its keys. */
interface Counting extends Pick<CheckedLimiter, "name" | "callsToNote"> {
  readonly limiter: object;
}

/** A call that a request was counted with. */
interface RequestCall {
  readonly limiter: object;
  readonly key: string;
  readonly cost: number;
  /** What the request asked for then; undefined where that does not change. */
  readonly target: string | undefined;
  readonly before: RequestCall | undefined;
  /** How many calls were before it. */
  readonly place: number;
}

/** The most calls of a request that are noted: a request object that is used again and again must not grow. */
const MOST_CALLS = 16;

/** On the request itself, because a WeakMap with an entry for each request keeps the garbage collector busy. */
const LATEST = Symbol("sluicegate latest call");

interface Noted {
  [LATEST]?: RequestCall;
}

/**
 * Notes that a request is counted, and warns when the same limiter has counted it before with the same key and cost: when a
 * middleware is on a router and on its route, say, which halves the limit.
 *
 * A request that was rewritten in between, to be dispatched again, is another request; a second call of another cost is meant.
 */
export function noteCall<R>(
  request: R,
  counting: Counting,
  key: string,
  cost: number | undefined,
  misuse: MisuseView<R> | undefined,
): void {
  if (misuse === undefined || counting.callsToNote === 0) return;
  counting.callsToNote -= 1;
  if (typeof request !== "object" || request === null) return;
  const { limiter, name } = counting;
  const target = misuse.target?.(request);
  const latest = (request as Noted)[LATEST];
  for (let other = latest; other !== undefined; other = other.before) {
    if (other.limiter === limiter && other.key === key && other.cost === (cost ?? 1) && other.target === target) {
      warnOfSecond(name);
    }
  }
  const place = latest === undefined ? 0 : latest.place + 1;
  const call: RequestCall = { limiter, key, cost: cost ?? 1, target, before: latest, place };
  // An assignment would throw where the request is frozen, or a proxy that takes no properties.
  if (place < MOST_CALLS) Reflect.set(request, LATEST, call);
}

function warnOfSecond(name: string | undefined): void {
  warnOnce(
    "SLUICEGATE_COUNTED_TWICE",
    "A limiter counted one request twice, which halves its limit. Apply its middleware once to each request",
    `The limiter is ${name === undefined ? "one without a name" : `"${name}"`}. \`warnings: false\` switches this warning off.`,
  );
}
