import type { Decision } from "../core/decision.js";
import { argumentError, parseOptions, assertOneOf, assertOptionalFunction, assertInteger } from "../core/validate.js";
import type { RateLimiter } from "../limiter/rate-limiter.js";
import type { ClientKeyOptions } from "./client-ip.js";
import type { HttpLimiter } from "./http-limiter.js";

/** What may be answered now, or later. */
export type Soon<T> = T | PromiseLike<T>;

/**
 * Options of `rateLimit`, the same for every framework: who is asked, and what to do with the answer.
 *
 * @typeParam R - the framework's request.
 * @typeParam K - the limiter's keys.
 * @typeParam A - what `onRefused` is given beside request and decision.
 */
export type HttpOptions<R, K extends string = string, A extends readonly unknown[] = readonly []> = (
  ByClient<R> | ByKey<R, K> | BySeveral<R>
) &
  AnswerOptions<R, A>;

/** One limiter, whose keys are the clients' addresses. */
export interface ByClient<R> {
  /**
   * The limiter to ask, or a function of the request that returns it, or a promise of it:
   * `(request) => tiers.tier(request.user.tier)`.
   */
  readonly limiter: HttpLimiter | ((request: R) => Soon<HttpLimiter>);
  readonly key?: undefined;
  readonly limiters?: undefined;
}

/** One limiter with a key made from the request. */
export interface ByKey<R, K extends string> {
  /**
   * The limiter to ask, or a function of the request that returns it, or a promise of it:
   * `(request) => tiers.tier(request.user.tier)`.
   */
  readonly limiter: HttpLimiter<K> | ((request: R) => Soon<HttpLimiter<K>>);
  /**
   * Who asks. `null` says that the limit does not apply; undefined is a `TypeError`, because it is a key that got lost. Of a
   * key that is longer than 256 characters, or begins with `sha256:`, the SHA-256 is taken.
   * @default the client's address, by `client`
   */
  readonly key: (request: R) => Soon<K | null>;
  readonly limiters?: undefined;
}

/** Several limiters, each with a key of its own, asked as one by `allOf`: a request counts in all of them or in none. */
export interface BySeveral<R> {
  /** The limiters by name, which is also what their policies are called by in headers. */
  readonly limiters: Readonly<Record<string, MemberOptions<R>>>;
  readonly limiter?: undefined;
  readonly key?: undefined;
}

/** The public members of a limiter. The class itself would exclude limiters of another copy of this package. */
type AnyCopy = HttpLimiter & Pick<RateLimiter, keyof RateLimiter>;

/** One of several limiters. */
export interface MemberOptions<R> {
  /** A limiter of this package, or a function of the request that returns it, or a promise of it. */
  readonly limiter: AnyCopy | ((request: R) => Soon<AnyCopy>);
  /** Who asks; `null` where this limit does not apply, because nobody is logged in, say. @default the client's address */
  readonly key?: ((request: R) => Soon<string | null>) | undefined;
}

/** What all have in common, whoever is asked. */
export interface AnswerOptions<R, A extends readonly unknown[]> {
  /** How the address of a client makes the key, wherever no `key` is given. @default the socket's address alone */
  readonly client?: ClientKeyOptions | undefined;
  /** What a request spends: a whole number, at least 1, or a function of the request, which may be asynchronous. @default 1 */
  readonly cost?: number | ((request: R) => Soon<number>) | undefined;
  /** Whether a request passes uncounted. The function may be asynchronous. @default never */
  readonly skip?: ((request: R) => Soon<boolean>) | undefined;
  /**
   * Whether the preflight requests of CORS are counted. A browser sends them on its own, before requests that are counted
   * themselves, and shows a refused one as a failure of CORS and not of a limit.
   *
   * By default they are counted if the handler gets `OPTIONS` like any other method: on plain `node:http` and `node:http2`, on
   * fetch and on koa, in a route of express that has another method (`app.all`), and in such a route of fastify. With a router
   * on koa, set `false`. Set `true` if a handler of every method is behind `app.use`, is a not-found handler, or is on hono.
   * @default as above
   */
  readonly countPreflights?: boolean | undefined;
  /**
   * Answers a refusal in place of the standard body. The standard status and fields are set before, and a field that it sets
   * itself is kept. An error that it throws goes to the framework's error handler, which sets the status, as with `throw: true`.
   * @default 429 or 503 with `application/problem+json`
   */
  readonly onRefused?: ((request: R, decision: Decision, ...rest: A) => unknown) | undefined;
  /**
   * Whether a request that was answered with `status` is refunded: `(_, status) => status < 400` counts failures only.
   *
   * It is called when Node has handed over the whole response. If the client hangs up before, over HTTP/1.1 or HTTP/2, it is not
   * called, and the request stays counted. A client that resets its HTTP/2 stream without an error code (`NO_ERROR`) after that
   * has received its response as far as Node can tell, so it is called with the status. On Bun, Deno and workers, which do not tell when a response has been sent, it is
   * called when the handler has returned, unless the request's `signal` is aborted.
   */
  readonly refundWhen?: ((request: R, status: number) => boolean) | undefined;
  /** Which fields tell of the limits: those of the IETF draft, the older `X-RateLimit-*`, both, or none. @default "draft-11" */
  readonly headers?: "draft-11" | "legacy" | "both" | false | undefined;
  /**
   * What becomes of a request when the store fails: it is answered with 503, or passes uncounted.
   *
   * A `TypeError` or `RangeError` of the limiter is an error of the calling code, as an invalid key is, and goes to the error
   * handler of the framework. So a limiter or store of your own wraps its failures (`TypeError: fetch failed`) in a `StoreError`.
   * @default "deny"
   */
  readonly whenDown?: WhenDown | ((error: unknown, request: R) => Soon<WhenDown>) | undefined;
  /** Hears of every failure of the store, and decides nothing. */
  readonly onStoreError?: ((error: unknown) => unknown) | undefined;
  /** Hands the refusal as an error to the framework's error handler, in place of answering. @default false */
  readonly throw?: boolean | undefined;
  /** `false` switches off the process warnings about misuse: see "Warnings" in the README. @default true */
  readonly warnings?: boolean | undefined;
}

/** What to do with a request that cannot be decided on. */
export type WhenDown = "allow" | "deny";

const NAMES = ["limiter", "limiters", "key", "client", "cost", "skip", "countPreflights", "onRefused", "refundWhen"];
const MORE_NAMES = ["headers", "whenDown", "onStoreError", "throw", "warnings"];

/** Options of other packages, with their names here. */
const RENAMED: Readonly<Record<string, string>> = {
  keyGenerator: "key",
  handler: "onRefused",
  errorResponseBuilder: "onRefused",
  skipSuccessfulRequests: "refundWhen",
  skipFailedRequests: "refundWhen",
  standardHeaders: "headers",
  legacyHeaders: "headers",
  allowList: "skip",
  skipIf: "skip",
  weight: "cost",
  trustProxy: "client",
  passOnStoreError: "whenDown",
  skipOnError: "whenDown",
};

/**
 * Checks everything about the options but the limiters, and returns a copy of them.
 *
 * @throws TypeError for an option that is unknown or of the wrong type, RangeError for one out of range.
 */
export function checkedHttpOptions<O extends AnswerOptions<never, never>>(options: O): O {
  const checked = parseOptions("options", options, [...NAMES, ...MORE_NAMES], RENAMED);
  const {
    cost,
    skip,
    countPreflights,
    onRefused,
    refundWhen,
    headers,
    whenDown,
    onStoreError,
    throw: throws,
    warnings,
  } = checked;
  const { key } = checked as { key?: unknown };
  for (const [name, value] of Object.entries({ key, skip, onRefused, refundWhen, onStoreError })) {
    assertOptionalFunction(name, value);
  }
  for (const [name, value] of Object.entries({ countPreflights, throw: throws, warnings })) {
    if (value !== undefined && typeof value !== "boolean") throw new TypeError(argumentError(name, "a boolean", value));
  }
  if (cost !== undefined && typeof cost !== "function") assertInteger("cost", cost, 1);
  if (headers !== undefined && headers !== false)
    assertOneOf("headers", headers, ["draft-11", "legacy", "both"], " or false");
  if (whenDown !== undefined && typeof whenDown !== "function")
    assertOneOf("whenDown", whenDown, ["allow", "deny"], " or a function of the error and the request");
  if (throws === true && onRefused !== undefined) {
    throw new TypeError(
      argumentError("onRefused", "absent beside `throw`, which leaves the answer to the error handler", onRefused),
    );
  }
  return checked;
}
