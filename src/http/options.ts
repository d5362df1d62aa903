import type { Decision } from "../core/decision.js";
import {
  assertBoolean,
  rangeError,
  typeError,
  memberOf,
  parseOptions,
  assertOneOf,
  assertOptionalFunction,
  assertInteger,
} from "../core/validate.js";
import type { Limit, MaxCalls } from "../core/limit.js";
import { assertOwnMaxCalls } from "../core/limit.js";
import type { RateLimiter } from "../limiter/rate-limiter.js";
import type { WaitOptions } from "../limiter/acquire-options.js";
import { parseAcquireOptions, WAIT_OPTIONS } from "../limiter/acquire-options.js";
import type { ClientKeyOptions } from "./client-ip.js";
import type { HeaderOptions } from "./header-formats.js";
import { checkHeaderOptions } from "./header-formats.js";
import type { LockedStatus } from "./problem.js";
import type { LimiterLike } from "../wrap/limiter-like.js";

/** A value, or a promise of one: what a callback may return. */
export type MaybePromise<T> = T | PromiseLike<T>;

/**
 * Options of `rateLimit`, the same for every framework: which limiters check a request, by which key, and what happens then.
 *
 * @typeParam R - the framework's request.
 * @typeParam K - the limiter's keys.
 * @typeParam A - the further arguments of `onRefused`, after the request and the decision.
 */
export type HttpOptions<R, K extends string = string, A extends readonly unknown[] = readonly []> = (
  ByClient<R> | ByKey<R, K> | BySeveral<R>
) &
  CommonOptions<R, A>;

/**
 * The members of a limiter that the HTTP middleware uses. The type is structural: a limiter of this package, a limiter of another
 * copy of it, and a fake all match. Only `check` is required.
 */
export interface HttpLimiter<K extends string = string> extends LimiterLike<K> {
  /** The name of its policies. `"default"`, the name of a limiter that was created without one, is ignored. */
  readonly name?: string | undefined;
  /** The limits that it enforces. Their names are checked when the middleware is created. */
  readonly limits?: readonly Limit[] | undefined;
  /** Whether {@link checkSync} is called in place of `check`, because it creates no promise. */
  readonly synchronous?: boolean | undefined;
  /** {@link LimiterLike.check} without a promise. */
  readonly checkSync?: ((key: K, options?: { readonly cost?: number | undefined }) => Decision) | undefined;
  /** Whether the middleware warns of misuse of the limiter. @default true */
  readonly warnings?: boolean | undefined;
  /** The purpose of the limiter; undefined if it enforces a quota. */
  readonly guardsAgainst?: "abnormal-usage" | undefined;
}

/** The limit of one request. */
export interface RequestLimit<R> {
  /**
   * The `maxCalls` of a request in place of the limiter's own: a number, for a limiter of several limits an object of numbers by
   * name, or a function that returns it for a request, or a promise of it: `(request) => request.tenant.callsPerMinute`. Any other
   * value, such as undefined, is a `TypeError`. The headers show this limit. Not called where `key` returns `null`.
   * @default the limits of the limiter
   */
  readonly maxCalls?: MaxCalls | ((request: R) => MaybePromise<MaxCalls>) | undefined;
}

/** One limiter, with the client's address as the key. */
export interface ByClient<R> extends RequestLimit<R> {
  /**
   * The limiter that checks each request: a limiter, or a function that returns the limiter for a request, or a promise of it:
   * `(request) => tiers.tier(request.user.tier)`. Required.
   *
   * Create limiters once, outside the function: a limiter that is new for each request has counted nothing yet.
   */
  readonly limiter: HttpLimiter | ((request: R) => MaybePromise<HttpLimiter>);
  readonly key?: undefined;
  readonly limiters?: undefined;
}

/** One limiter, with a key that a function makes from the request. */
export interface ByKey<R, K extends string> extends RequestLimit<R> {
  /**
   * The limiter that checks each request: a limiter, or a function that returns the limiter for a request, or a promise of it:
   * `(request) => tiers.tier(request.user.tier)`. Required.
   *
   * Create limiters once, outside the function: a limiter that is new for each request has counted nothing yet.
   */
  readonly limiter: HttpLimiter<K> | ((request: R) => MaybePromise<HttpLimiter<K>>);
  /**
   * A function that returns the key of a request: a string, or a promise of one. If it returns `null`, the limit does not apply
   * to the request. Any other value, such as undefined, is a `TypeError`, so that a missing key does not switch off the limit.
   *
   * A key of more than 256 characters, or one that begins with `sha256:`, is replaced by its SHA-256.
   * @default the client's address, by `client`
   */
  readonly key: (request: R) => MaybePromise<K | null>;
  readonly limiters?: undefined;
}

/** Several limiters, each with its own key, combined by `allOf`: a request counts in all of them or in none. */
export interface BySeveral<R> {
  /**
   * The limiters, by name: an object with at least one member. The names are those of the policies in headers as well. All
   * limiters must be of this package, and no limiter may have two names. Required.
   */
  readonly limiters: Readonly<Record<string, MemberOptions<R>>>;
  readonly limiter?: undefined;
  readonly maxCalls?: undefined;
  readonly key?: undefined;
}

/** The public members of a limiter. The class itself would exclude limiters of another copy of this package. */
type AnyCopy = HttpLimiter & Pick<RateLimiter, keyof RateLimiter>;

/** One of several limiters. */
export interface MemberOptions<R> extends RequestLimit<R> {
  /**
   * The limiter: a limiter of this package, or a function that returns the limiter for a request, or a promise of it. Required.
   */
  readonly limiter: AnyCopy | ((request: R) => MaybePromise<AnyCopy>);
  /**
   * A function that returns the key of a request for this limiter: a string, or a promise of one. If it returns `null`, for a
   * request without a login, say, this limiter is left out and the others apply. Long keys are hashed as with `ByKey.key`.
   * @default the client's address, by `client`
   */
  readonly key?: ((request: R) => MaybePromise<string | null>) | undefined;
}

/**
 * The requests that a middleware accepts: those of its callbacks. If callbacks take every request of the framework, so does the
 * middleware, by the structural type: the type of the framework would decide on the types of the handlers behind it.
 *
 * @typeParam R - the request of the callbacks.
 * @typeParam F - the type of all requests of the framework.
 * @typeParam L - the structural type.
 */
export type Accepted<R, F, L> = [F] extends [R] ? L : R;

/** The options that do not depend on the choice of limiters. */
export interface CommonOptions<R, A extends readonly unknown[]> extends HeaderOptions {
  /**
   * How the key is made from the client's address. It applies if there is no `key`.
   *
   * A request whose address is unknown is a `TypeError`, because all such clients would share a key.
   * @default the address of the socket, with IPv6 addresses cut to their /64; no header is trusted
   */
  readonly client?: ClientKeyOptions | undefined;
  /**
   * The number of calls that a request counts as: a whole number of at least 1, or a function that returns the number for a
   * request, or a promise of it. A request that costs more than a limit allows is always refused.
   * @default 1
   */
  readonly cost?: number | ((request: R) => MaybePromise<number>) | undefined;
  /**
   * A function that returns whether a request passes uncounted: a boolean, or a promise of one. Any other value is a `TypeError`.
   * It runs before `limiter`, `key`, `maxCalls` and `cost`.
   * @default no request is skipped
   */
  readonly skip?: ((request: R) => MaybePromise<boolean>) | undefined;
  /**
   * Whether CORS preflight requests are counted: a boolean. A browser sends a preflight by itself, before a request that is
   * counted anyway, and reports a refused preflight as a CORS failure.
   *
   * By default preflights are counted if the handler receives `OPTIONS` requests like those of any other method: on plain
   * `node:http` and `node:http2`, on fetch and on koa, and in a route of express or fastify that has another method as well, such
   * as `app.all`. Set `false` if koa has a router. Set `true` if a handler of all methods is behind `app.use`, is a not-found
   * handler, or is on hono.
   * @default as described
   */
  readonly countPreflights?: boolean | undefined;
  /**
   * A function that responds to a refused request in place of the standard response, as a handler of the framework does: on
   * fetch and hono it returns the response. It may be asynchronous. The standard fields and status are defaults that it can
   * override; a `new Response(…)` has its own status.
   *
   * An error that it throws goes to the framework's error handler, which sets the status. It is not called if the store fails,
   * and is a `TypeError` together with `throw: true`.
   * @default status 429 or 503, with a body of `application/problem+json`
   */
  readonly onRefused?: ((request: R, decision: Decision, ...rest: A) => unknown) | undefined;
  /**
   * Delays a request until it is admitted, as `acquire` does, in place of refusing it: an object with a `timeout`, the longest
   * wait, and a `maxQueue`, the most requests of a key that may wait. A request that would wait longer, or finds the queue full,
   * is refused as usual. A client that disconnects leaves the queue, and its request is not counted.
   *
   * It is a `TypeError` together with `limiters`. Each waiting request holds a connection, so set both.
   * @default a request does not wait
   */
  readonly wait?: WaitOptions | undefined;
  /**
   * The HTTP status of a request whose key is locked (`refusedBy: "lock"`): 429, or 403 for a ban that the client need not wait
   * for. The refusal that locks the key has the status 429. `Retry-After` is sent with both.
   * @default 429
   */
  readonly lockedStatus?: LockedStatus | undefined;
  /**
   * A function that returns whether a request is refunded, by the status of its response: `(_, status) => status < 400` counts
   * failures only. It returns a boolean, or a promise of one, for which no response waits. If it fails, a process warning is
   * emitted, and the request stays counted.
   *
   * On Node it is called when Node has sent the whole response. If the client disconnects before, over HTTP/1.1 or HTTP/2, it is
   * not called, and the request stays counted. If the client resets its HTTP/2 stream afterwards without an error code
   * (`NO_ERROR`), Node cannot detect that the response did not arrive, so it is called. Bun, Deno and workers do not report when
   * a response has been sent: there it is called when the handler has returned, unless the request's `signal` is aborted.
   * A `waitUntil` of the platform, among the arguments of the handler, keeps a worker alive until the refund.
   * @default no request is refunded
   */
  readonly refundWhen?: ((request: R, status: number) => MaybePromise<boolean>) | undefined;
  /**
   * What happens to a request if the store fails: `"deny"` responds with 503, `"allow"` lets the request pass uncounted. Or a
   * function of the error and the request that returns one of the two, or a promise of it.
   *
   * A `TypeError` or `RangeError` of the limiter is an error of the calling code, such as an invalid key, and goes to the error
   * handler of the framework. So a custom limiter or store must wrap its failures (`TypeError: fetch failed`) in a `StoreError`.
   * @default "deny"
   */
  readonly whenDown?: WhenDown | ((error: unknown, request: R) => MaybePromise<WhenDown>) | undefined;
  /**
   * A function that is called with the error at every failure of the store. What it returns is ignored, and an error that it
   * throws becomes a process warning.
   * @default undefined
   */
  readonly onStoreError?: ((error: unknown) => unknown) | undefined;
  /**
   * Whether a refusal goes to the framework's error handler, as a `RateLimitExceededError` or `StoreError` with the standard
   * `headers`, in place of a response: a boolean. On fetch, which has no error handler, the handler rejects.
   * @default false
   */
  readonly throw?: boolean | undefined;
  /** Whether process warnings report misuse: a boolean. See `docs/errors.md`. @default true */
  readonly warnings?: boolean | undefined;
}

/** What happens to a request if the store fails: it passes uncounted, or gets a 503. */
export type WhenDown = "allow" | "deny";

const NAMES = [
  ...["limiter", "limiters", "key", "client", "cost", "maxCalls", "skip", "countPreflights", "onRefused", "refundWhen"],
  ...["wait", "lockedStatus", "headers", "resetFormat", "partitionKey", "exposeHeaders"],
  ...["whenDown", "onStoreError", "throw", "warnings"],
];

/** Options of other packages, with their names here. */
const RENAMED: Readonly<Record<string, string>> = {
  keyGenerator: "key",
  handler: "onRefused",
  message: "onRefused",
  statusCode: "onRefused",
  errorResponseBuilder: "onRefused",
  skipSuccessfulRequests: "refundWhen",
  skipFailedRequests: "refundWhen",
  requestWasSuccessful: "refundWhen",
  standardHeaders: "headers",
  legacyHeaders: "headers",
  enableDraftSpec: "headers",
  addHeaders: "headers",
  allowList: "skip",
  skipIf: "skip",
  weight: "cost",
  trustProxy: "client",
  ipv6Subnet: "client",
  passOnStoreError: "whenDown",
  skipOnError: "whenDown",
  validate: "warnings",
  delayAfter: "wait",
  delayMs: "wait",
  maxDelayMs: "wait",
  // Options of the limiter.
  period: "period",
  name: "name",
  identifier: "name",
  ban: "lockFor",
  blockDuration: "lockFor",
  store: "store",
  redis: "store",
  onExceeded: "onDecision",
};

/**
 * Validates all options except the limiters, and returns a copy.
 *
 * @param own - the names of further options of an adapter, which are not validated.
 * @throws TypeError for an option that is unknown or of the wrong type, RangeError for one out of range.
 */
export function checkedHttpOptions<O extends CommonOptions<never, never>>(options: O, own: readonly string[] = []): O {
  if (typeof memberOf(options, "check") === "function") {
    throw typeError("options", "an object such as `{ limiter }`, and not the limiter itself", options);
  }
  if (typeof memberOf(options, "httpVersion") === "string") {
    const rule = "an object such as `{ limiter }`, and not a request: write `app.use(rateLimit({ limiter }))`";
    throw typeError("options", rule, options);
  }
  const checked = parseOptions("options", options, [...NAMES, ...own], RENAMED);
  const {
    cost,
    skip,
    countPreflights,
    onRefused,
    refundWhen,
    wait,
    whenDown,
    onStoreError,
    throw: throws,
    warnings,
    lockedStatus,
  } = checked;
  const { key, maxCalls } = checked as { key?: unknown; maxCalls?: unknown };
  for (const [name, value] of Object.entries({ key, skip, onRefused, refundWhen, onStoreError })) {
    assertOptionalFunction(name, value);
  }
  for (const [name, value] of Object.entries({ countPreflights, throw: throws, warnings })) {
    if (value !== undefined) assertBoolean(name, value);
  }
  if (cost !== undefined && typeof cost !== "function") assertInteger("cost", cost, 1);
  if (wait !== undefined) parseAcquireOptions(parseOptions("wait", wait, WAIT_OPTIONS));
  if (maxCalls !== undefined && typeof maxCalls !== "function") assertOwnMaxCalls("maxCalls", maxCalls);
  checkHeaderOptions(checked);
  if (lockedStatus !== undefined) checkLockedStatus(lockedStatus);
  if (whenDown !== undefined && typeof whenDown !== "function")
    assertOneOf("whenDown", whenDown, ["allow", "deny"], " or a function of the error and the request");
  if (throws === true && onRefused !== undefined) {
    throw typeError("onRefused", "absent beside `throw`, which leaves the response to the error handler", onRefused);
  }
  return checked;
}

function checkLockedStatus(value: unknown): void {
  if (value === 429 || value === 403) return;
  throw (typeof value === "number" ? rangeError : typeError)("lockedStatus", "429 or 403", value);
}
