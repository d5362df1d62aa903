import { hex, sha256 } from "../core/bytes.js";
import { andThen, isPromiseLike } from "../core/callbacks.js";
import { countInProcess, published } from "../core/copies.js";
import type { Decision } from "../core/decision.js";
import type { Limit, MaxCalls } from "../core/limit.js";
import { assertOwnMaxCalls } from "../core/limit.js";
import { rangeError, typeError, assertOptionalFunction, memberOf, parseOptions } from "../core/validate.js";
import { isHandlingRequest, noteCall, noteMadeFor } from "./misuse.js";
import type { BySeveral, HttpLimiter, HttpOptions, MemberOptions, RequestLimit, MaybePromise } from "./options.js";
import type { LimiterResult } from "./headers.js";
import { checkPolicyNames } from "./headers.js";
import type { RequestView } from "./request-view.js";
import type { WaitSignal } from "../limiter/abort.js";
import type { WaitOptions } from "../limiter/acquire-options.js";
import type { AllOfDecision } from "../limiter/all-of.js";
import { allOf } from "../limiter/all-of.js";
import type { RateLimiter } from "../limiter/rate-limiter.js";
import { isLookup, limiterLike } from "../wrap/limiter-like.js";

/** A call of the limiters of one request, with its keys. */
export interface LimiterCall {
  /**
   * Decides the call, or waits until it is admitted if the middleware has a `wait`.
   *
   * @param signal - ends the wait.
   */
  check(cost: number | undefined, signal: WaitSignal | undefined): Decision | Promise<Decision>;
  /** Returns the decision of each limiter that was consulted. */
  resultsOf(decision: Decision): readonly LimiterResult[];
  /** Whether the limiter that made the decision guards against abnormal use. */
  isAbuse(decision: Decision): boolean;
  refund(decision: Decision): Promise<unknown>;
}

/**
 * Resolves the limiters and keys of a request. Returns undefined if no limit applies to the request.
 *
 * The result is a promise only if a callback is asynchronous, because each promise slows a fast framework noticeably.
 */
export type CallResolver<R> = (request: R) => LimiterCall | undefined | Promise<LimiterCall | undefined>;

/** The members of a view that the detection of misuse reads. */
export type MisuseView<R> = Pick<RequestView<R>, "target" | "identity">;

/** The settings of a resolver that are not options of the user. */
interface ResolverContext<R> {
  /** Reads what the detection of misuse needs; undefined if warnings are off. */
  readonly misuse: MisuseView<R> | undefined;
  /** Returns the key of the client, used if no `key` is set; null if the request is not limited. */
  readonly clientOf: (request: R) => string | null;
  /** Whether a header contains the names of limits, which must then be valid in it. */
  readonly isNamed: boolean;
  /** Whether each limiter must have a `refund` method. */
  readonly needsRefund: boolean;
  /** How long a request waits in place of being refused; undefined if it does not wait. */
  readonly wait: WaitOptions | undefined;
}

/**
 * Creates the resolver for the options `limiter` or `limiters`.
 *
 * A limiter that a function returns is checked when the request arrives, and its error is a rejection.
 *
 * @throws TypeError if neither or both options are set, or a limiter is invalid; RangeError if the name of a limit is invalid
 *   in a header, or `limiters` is empty.
 */
export function callResolver<R, K extends string, A extends readonly unknown[]>(
  options: HttpOptions<R, K, A>,
  context: ResolverContext<R>,
): CallResolver<R> {
  if (options.limiters === undefined) {
    return oneLimiter(options.limiter, options.key, options.maxCalls, context);
  }
  if (context.wait !== undefined) {
    throw typeError("wait", "absent beside `limiters`, which cannot wait for each other", context.wait);
  }
  const { limiter, key, maxCalls }: { limiter?: unknown; key?: unknown; maxCalls?: unknown } = options;
  for (const [name, value] of Object.entries({ limiter, key, maxCalls })) {
    if (value !== undefined) {
      throw typeError(name, "absent beside `limiters`, each of which has its own", value);
    }
  }
  return severalLimiters(options.limiters, context);
}

/** Creates the resolver for one limiter. */
function oneLimiter<R, K extends string>(
  limiter: HttpLimiter<K> | ((request: R) => MaybePromise<HttpLimiter<K>>),
  key: ((request: R) => MaybePromise<K | null>) | undefined,
  maxCalls: RequestLimit<R>["maxCalls"],
  context: ResolverContext<R>,
): CallResolver<R> {
  const maxCallsOf = maxCallsOfRequest("maxCalls(request)", maxCalls);
  const limiterOf = limiterOfRequest<R, K>("limiter", limiter, context);
  const keyOf = keyOfRequest("key(request)", key, context);
  const { misuse } = context;
  const makeCall = (checked: CheckedLimiter<K>, requestKey: string | null, request: R): ReturnType<CallResolver<R>> => {
    if (requestKey === null) return undefined;
    const own = maxCallsOf(request);
    return isPromiseLike(own)
      ? withMaxCalls(own, checked, requestKey as K, request)
      : new OneLimiterCall(checked, requestKey as K, own, request, misuse);
  };
  // Apart from the rest, which would otherwise allocate its variables on the heap for each request.
  const withMaxCalls = async (
    own: PromiseLike<MaxCalls | undefined>,
    checked: CheckedLimiter<K>,
    requestKey: K,
    request: R,
  ): Promise<LimiterCall> => new OneLimiterCall(checked, requestKey, await own, request, misuse);
  return (request) => {
    // The key comes first: if it threw after the lookup of the limiter, a rejection of the lookup would be unhandled.
    const requestKey = keyOf(request);
    const checked = limiterOf(request);
    if (!isPromiseLike(checked) && !isPromiseLike(requestKey)) return makeCall(checked, requestKey, request);
    return Promise.all([checked, requestKey]).then((resolved) => makeCall(resolved[0], resolved[1], request));
  };
}

/** A call of one limiter. A class, because closures would be allocated for each request. */
class OneLimiterCall<R, K extends string> implements LimiterCall {
  readonly #limiter: CheckedLimiter<K>;
  readonly #key: K;
  readonly #maxCalls: MaxCalls | undefined;
  readonly #request: R;
  readonly #misuse: MisuseView<R> | undefined;

  constructor(
    limiter: CheckedLimiter<K>,
    key: K,
    maxCalls: MaxCalls | undefined,
    request: R,
    misuse: MisuseView<R> | undefined,
  ) {
    this.#limiter = limiter;
    this.#key = key;
    this.#maxCalls = maxCalls;
    this.#request = request;
    this.#misuse = misuse;
  }

  check(cost: number | undefined, signal: WaitSignal | undefined): Decision | Promise<Decision> {
    noteCall(this.#request, this.#limiter, this.#key, cost, this.#misuse);
    return this.#limiter.check(this.#key, cost, this.#maxCalls, signal);
  }

  resultsOf(decision: Decision): readonly LimiterResult[] {
    const { name, limits } = this.#limiter;
    return [{ name, limits, key: this.#key, decision }];
  }

  isAbuse(): boolean {
    return this.#limiter.guardsAgainstAbuse;
  }

  async refund(decision: Decision): Promise<unknown> {
    return this.#limiter.limiter.refund?.(decision);
  }
}

/** Creates the resolver for several limiters, which count a request all or nothing. */
function severalLimiters<R>(limiters: BySeveral<R>["limiters"], context: ResolverContext<R>): CallResolver<R> {
  if (typeof limiters !== "object" || (limiters as unknown) === null || Array.isArray(limiters)) {
    throw typeError("limiters", "an object of limiters by name", limiters);
  }
  const members = Object.entries(limiters).map(([name, value]) => member(name, value, context));
  if (members.length === 0) {
    throw rangeError("limiters", "an object of at least one limiter", "{}");
  }
  assertCombinable(members.flatMap(({ name, fixed }) => (fixed === undefined ? [] : [[name, fixed]])));
  // Limiters that a function returns are checked at each request.
  const areFixed = members.every(({ fixed }) => fixed !== undefined);
  return async (request) => {
    const resolved = await Promise.all(
      members.map(async ({ name, limiterOf, keyOf, maxCallsOf }) => {
        const limiter = await limiterOf(request);
        const key = await keyOf(request);
        return { name, limiter, key, maxCalls: key === null ? undefined : await maxCallsOf(request) };
      }),
    );
    const applying = resolved.filter(({ key }) => key !== null);
    if (applying.length === 0) return undefined;
    if (!areFixed) assertCombinable(applying.map(({ name, limiter }) => [name, limiter.limiter]));
    const all = allOf(
      Object.fromEntries(applying.map(({ name, limiter }) => [name, limiter.limiter as unknown as RateLimiter])),
    );
    const keys = Object.fromEntries(applying.map(({ name, key }) => [name, key]));
    const maxCalls = Object.fromEntries(applying.map((member) => [member.name, member.maxCalls]));
    return {
      check: (cost) => {
        for (const { limiter, key } of applying) noteCall(request, limiter, key as string, cost, context.misuse);
        return all.check(keys, { cost, maxCalls });
      },
      resultsOf: (decision) => {
        const { members: decisions } = decision as AllOfDecision;
        return applying.flatMap(({ name, key, limiter: { limits } }) => {
          const own = decisions[name];
          return own === undefined || own === null ? [] : [{ name, limits, key: key as string, decision: own }];
        });
      },
      isAbuse: (decision) => {
        const { member } = decision as AllOfDecision;
        return resolved.find(({ name }) => name === member)?.limiter.guardsAgainstAbuse === true;
      },
      refund: (decision) => all.refund(decision),
    };
  };
}

/**
 * Checks that `allOf` can combine the limiters. The errors of `allOf` itself would not name the HTTP options.
 *
 * @throws TypeError if one of them is not a limiter of this package, or is listed under two names.
 */
function assertCombinable(members: readonly (readonly [name: string, limiter: object])[]): void {
  const limiters = members.map(([, limiter]) => limiter);
  for (const [index, [name, limiter]] of members.entries()) {
    const option = `limiters.${name}.limiter`;
    if (published(option, limiter, "limiter") === undefined) {
      throw typeError(option, "a limiter of this package, which counts several at once", limiter);
    }
    if (limiters.indexOf(limiter) !== index) {
      throw typeError(option, "a limiter that no other name has", "the same limiter");
    }
  }
}

interface Member<R> {
  readonly name: string;
  /** The limiter if it is the same for all requests; undefined if a function returns it. */
  readonly fixed: Pick<RateLimiter, "name" | "limits"> | undefined;
  readonly limiterOf: (request: R) => Promise<CheckedLimiter> | CheckedLimiter;
  readonly keyOf: (request: R) => string | null | Promise<string | null>;
  readonly maxCallsOf: MaxCallsOf<R>;
}

function member<R>(name: string, value: MemberOptions<R>, context: ResolverContext<R>): Member<R> {
  const { limiter, key, maxCalls } = parseOptions(`limiters.${name}`, value, ["limiter", "key", "maxCalls"]);
  if (maxCalls !== undefined && typeof maxCalls !== "function")
    assertOwnMaxCalls(`limiters.${name}.maxCalls`, maxCalls);
  assertOptionalFunction(`limiters.${name}.key`, key);
  const limiterOf = limiterOfRequest<R, string>(`limiters.${name}.limiter`, limiter, context, name);
  return {
    name,
    fixed: typeof limiter === "function" ? undefined : limiter,
    limiterOf,
    keyOf: keyOfRequest(`limiters.${name}.key(request)`, key, context),
    maxCallsOf: maxCallsOfRequest(`limiters.${name}.maxCalls(request)`, maxCalls),
  };
}

/**
 * Returns a function that resolves the limiter of a request: `limiterOrLookup`, or the limiter that it returns. Each limiter is
 * checked once.
 *
 * @param name - the name of the option, for errors.
 * @param policyLabel - the name of the policies of the limiter; default: the name of the limiter.
 */
function limiterOfRequest<R, K extends string>(
  name: string,
  limiterOrLookup: HttpLimiter<K> | ((request: R) => MaybePromise<HttpLimiter<K>>),
  { isNamed, needsRefund, wait, misuse }: ResolverContext<R>,
  policyLabel?: string,
): (request: R) => CheckedLimiter<K> | Promise<CheckedLimiter<K>> {
  const known = new WeakMap<object, CheckedLimiter<K>>();
  const check = (value: unknown): CheckedLimiter<K> => {
    const previous = known.get(value as object);
    if (previous !== undefined) return previous;
    const limiter = httpLimiter<K>(name, value, { refund: needsRefund, acquire: wait !== undefined });
    const checked = new CheckedLimiter(limiter, wait);
    if (isNamed) {
      const nameOption = policyLabel === undefined ? `${name}.name` : "limiters";
      checkPolicyNames(policyLabel ?? checked.name, checked.limits, nameOption, `${name}.limits`);
    }
    known.set(limiter, checked);
    return checked;
  };
  const identify = misuse?.identity;
  const noteCreated = (request: R, { isInMemory, warns }: CheckedLimiter<K>): void => {
    if (identify !== undefined && isInMemory && warns) noteMadeFor(identify(request));
  };
  if (isLookup(limiterOrLookup)) {
    return async (request) => {
      const countBefore = countInProcess();
      const limiter = await limiterOrLookup(request);
      const isNew = !known.has(limiter);
      const checked = check(limiter);
      if (isNew && countInProcess() > countBefore) noteCreated(request, checked);
      return checked;
    };
  }
  const fixed = check(limiterOrLookup);
  let isMadeForRequest = identify !== undefined && !fixedBefore.has(limiterOrLookup) && isHandlingRequest();
  fixedBefore.add(limiterOrLookup);
  return (request) => {
    if (isMadeForRequest) {
      isMadeForRequest = false;
      noteCreated(request, fixed);
    }
    return fixed;
  };
}

/** Limiters that a middleware already uses. They were not created for one request, even if a later middleware is. */
const fixedBefore = new WeakSet();

/**
 * Checks that the HTTP middleware can call `value` as a limiter, and returns it.
 *
 * @throws TypeError if it cannot: for example, a tiered limiter needs a tier for each call.
 */
function httpLimiter<K extends string>(
  name: string,
  value: unknown,
  methods: Parameters<typeof limiterLike>[2],
): HttpLimiter<K> {
  if (typeof memberOf(value, "tier") === "function") {
    const rule = "the limiter of one tier: `limiter: (request) => tiers.tier(…)`";
    throw typeError(name, rule, value);
  }
  if (published(name, value, "allOf") !== undefined) {
    throw typeError(name, "one limiter: for several, each with a key of its own, use `limiters`", value);
  }
  return limiterLike<K>(name, value, methods);
}

/** The number of calls to note for each limiter. A middleware that is applied twice shows in the first requests. */
const CALLS_TO_NOTE = 1000;

/** A limiter that passed its checks. Members that never change are read once, ignoring those of `Object.prototype`. */
class CheckedLimiter<K extends string = string> {
  readonly limiter: HttpLimiter<K>;
  /** The name in headers; undefined for a limiter without a name. */
  readonly name: string | undefined;
  /** Whether a refusal means abnormal use, and not an exceeded quota. */
  readonly guardsAgainstAbuse: boolean;
  /** Whether the middleware warns of misuse of the limiter. */
  readonly warns: boolean;
  /** The number of further calls to note, to detect a request that is counted twice. Later calls cost nothing. */
  callsToNote: number;
  /** Whether its logs are in the memory of this process, so that a new limiter starts empty. */
  readonly isInMemory: boolean;
  readonly #hasCheckSync: boolean;
  readonly #hasLimits: boolean;
  readonly #wait: WaitOptions | undefined;

  /** @param wait - how long a call waits in place of being refused; undefined if it does not wait. */
  constructor(limiter: HttpLimiter<K>, wait: WaitOptions | undefined) {
    const name = memberOf(limiter, "name");
    this.limiter = limiter;
    this.name = typeof name !== "string" || name === "default" ? undefined : name;
    this.guardsAgainstAbuse = memberOf(limiter, "guardsAgainst") === "abnormal-usage";
    this.warns = memberOf(limiter, "warnings") !== false;
    this.callsToNote = this.warns ? CALLS_TO_NOTE : 0;
    this.isInMemory = memberOf(limiter, "synchronous") === true;
    this.#hasCheckSync = this.isInMemory && memberOf(limiter, "checkSync") !== undefined;
    this.#hasLimits = memberOf(limiter, "limits") !== undefined;
    this.#wait = wait;
  }

  /** The limits in force; undefined for a limiter that does not publish them. */
  get limits(): readonly Limit[] | undefined {
    return this.#hasLimits ? this.limiter.limits : undefined;
  }

  check(
    key: K,
    cost: number | undefined,
    maxCalls: MaxCalls | undefined,
    signal: WaitSignal | undefined,
  ): Decision | Promise<Decision> {
    const options = maxCalls !== undefined ? { cost, maxCalls } : cost === undefined ? undefined : { cost };
    if (this.#wait !== undefined && this.limiter.acquire !== undefined) {
      return this.limiter.acquire(key, { ...this.#wait, ...options, signal });
    }
    if (this.#hasCheckSync && this.limiter.checkSync !== undefined) return this.limiter.checkSync(key, options);
    return options === undefined ? this.limiter.check(key) : this.limiter.check(key, options);
  }
}

type MaxCallsOf<R> = (request: R) => MaybePromise<MaxCalls | undefined>;

/** Returns a function that resolves the `maxCalls` of a request; undefined if it has none of its own. */
function maxCallsOfRequest<R>(name: string, maxCalls: RequestLimit<R>["maxCalls"]): MaxCallsOf<R> {
  if (typeof maxCalls !== "function") return () => maxCalls;
  return (request) => andThen(maxCalls(request), (own) => assertOwnMaxCalls(name, own));
}

/** Returns a function that resolves the key of a request: hashed if it is long, null if the limit does not apply. */
function keyOfRequest<R>(
  name: string,
  key: ((request: R) => MaybePromise<string | null>) | undefined,
  { clientOf }: ResolverContext<R>,
): (request: R) => string | null | Promise<string | null> {
  const checkKey = (value: string | null): string | null | Promise<string> => {
    if (value === null) return null;
    if (typeof value === "string") return hashLongKey(value);
    throw typeError(name, "a string, or null where the limit does not apply", value);
  };
  if (key === undefined) return clientOf;
  return (request) => andThen(key(request), checkKey);
}

/** Longer than an address, an id or an e-mail address; a million keys of this length fit into memory. */
const MAX_KEY_LENGTH = 256;
const PREFIX = "sha256:";

/**
 * Returns the key, or its SHA-256 if it is longer than 256 characters, so that a client that chooses the key cannot choose how
 * much memory it takes.
 *
 * A key that starts with the prefix of a hash is hashed too. So a result with this prefix is always a hash, and a client cannot
 * send the hash of another key to share its log.
 */
function hashLongKey(key: string): string | Promise<string> {
  return key.length <= MAX_KEY_LENGTH && !key.startsWith(PREFIX) ? key : digestOf(key);
}

async function digestOf(key: string): Promise<string> {
  // UTF-8 would encode all lone surrogates as the same bytes, so different keys would have one hash.
  const units = new Uint8Array(2 * key.length);
  for (let index = 0; index < key.length; index += 1) {
    const unit = key.charCodeAt(index);
    units[2 * index] = unit >> 8;
    units[2 * index + 1] = unit & 255;
  }
  return PREFIX + hex(await sha256(units));
}
