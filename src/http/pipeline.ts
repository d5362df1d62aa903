import { andThen, callListener, isPromiseLike, warn } from "../core/callbacks.js";
import type { Decision } from "../core/decision.js";
import { retryAfterSeconds } from "../core/decision.js";
import type { WaitFailure } from "../core/errors.js";
import { RateLimitExceededError, StoreError } from "../core/errors.js";
import { assertBoolean, assertInteger, assertOneOf, memberOf } from "../core/validate.js";
import type { WaitSignal } from "../limiter/abort.js";
import { isWaitError } from "../wrap/limiter-like.js";
import { clientOfRequest } from "./client-ip.js";
import type { HeaderWriter } from "./header-formats.js";
import { headerWriter } from "./header-formats.js";
import type { HeaderEntry } from "./headers.js";
import { EXPOSE_HEADERS } from "./headers.js";
import type { CallResolver, LimiterCall, MisuseView } from "./limiter-call.js";
import { callResolver } from "./limiter-call.js";
import type { CommonOptions, HttpOptions, MaybePromise } from "./options.js";
import { checkedHttpOptions } from "./options.js";
import type { Problem } from "./problem.js";
import { UNAVAILABLE, problemOf } from "./problem.js";
import type { RequestView } from "./request-view.js";
import type { NodeResponse } from "./response-end.js";
import { closeSignal } from "./response-end.js";

/** The outcome of the limits for a request. */
export interface Outcome {
  /** The decision; undefined if no limit applied, or the store failed. */
  readonly decision: Decision | undefined;
  /** The fields that show the limits, for every response. */
  readonly fields: readonly HeaderEntry[];
  /** The response in place of the handler's; undefined for a request that passes. */
  readonly rejection: Rejection | undefined;
  /**
   * Must be called with the status of the response when the whole response has been sent, and not if it is cut off; undefined if
   * no refund depends on it. It never rejects.
   */
  readonly onResponse: ((status: number) => Promise<void>) | undefined;
}

/** The response to a request that does not pass. */
export interface Rejection {
  /** The HTTP status: 429, 503, 403 for a locked key if `lockedStatus` says so, or 400 if the client has disconnected. */
  readonly status: number;
  /** Further fields of the response, without those of its body. */
  readonly fields: readonly HeaderEntry[];
  /** JSON, of the type `application/problem+json`, for all methods but HEAD; undefined if the client has disconnected. */
  readonly body: string | undefined;
  /**
   * Creates the error for `throw: true`; undefined if the client has disconnected. A function, because capturing a stack trace is
   * the most expensive step.
   *
   * @param currentHeader - reads a header that the response already has, so that the fields of outer limiters are kept.
   */
  readonly error:
    ((currentHeader?: (name: string) => unknown) => (RateLimitExceededError | StoreError) & RejectionError) | undefined;
}

/** What the error handlers of express and koa read: they remove all fields of the response before they set these. */
export interface RejectionError {
  /** The fields of the response by name, with those of outer limiters. */
  readonly headers: Readonly<Record<string, string>>;
  /** The message can be shown to the client: it contains no key. */
  readonly expose: boolean;
}

/** The media type of the body of a refusal. @see RFC 9457 */
export const PROBLEM_TYPE = "application/problem+json";

/** The request passes, and no limit applies to it. */
const NOT_LIMITED: Outcome = makeOutcome(undefined, []);

/**
 * A client that has disconnected has no address, so the request has no key and must not pass uncounted. One that disconnects
 * while its request waits has left the queue. No client reads the response.
 */
const DISCONNECTED: Outcome = makeOutcome(undefined, [], {
  status: 400,
  fields: [],
  body: undefined,
  error: undefined,
});

/** @see The Fetch standard, section 4.8, CORS-preflight fetch */
const NEVER_IN_PREFLIGHTS = ["authorization", "cookie", "content-type", "transfer-encoding"];

/** A cache must not store a refusal, or it would send it in response to a later request. @see RFC 6585, section 4 */
const NO_STORE: HeaderEntry = ["Cache-Control", "no-store"];

/**
 * The pipeline behind every framework: runs the limiters on a request, and returns the outcome.
 *
 * It does not depend on a framework: a {@link RequestView} reads the requests of one, and the caller acts on the outcome.
 */
export class HttpRateLimiter<R, A extends readonly unknown[] = readonly [], K extends string = string> {
  readonly #options: CommonOptions<R, A>;
  readonly #view: RequestView<R>;
  readonly #resolver: CallResolver<R>;
  readonly #headers: HeaderWriter;
  /** Whether a refusal goes to the error handler of the framework. */
  readonly throws: boolean;
  /** Whether requests wait in place of being refused, so that {@link handle} needs a signal. */
  readonly waits: boolean;
  /** Whether process warnings report misuse. */
  readonly warns: boolean;
  /** The callback that responds to a refusal in place of the adapter. */
  readonly onRefused: ((request: R, decision: Decision, ...rest: A) => unknown) | undefined;

  /** @throws TypeError for an option that is unknown or of the wrong type, RangeError for one out of range. */
  constructor(options: HttpOptions<R, K, A>, view: RequestView<R>) {
    const checked = checkedHttpOptions(options);
    const { client = {}, refundWhen, wait, onRefused, throw: throws = false, warnings = true } = checked;
    this.#options = checked;
    this.#view = view;
    this.throws = throws;
    this.waits = wait !== undefined;
    this.warns = warnings;
    this.onRefused = onRefused;
    this.#headers = headerWriter(checked);
    this.#resolver = callResolver(checked, {
      clientOf: clientOfRequest(view, client, warnings),
      misuse: warnings ? misuseView(view) : undefined,
      isNamed: this.#headers.isNamed,
      needsRefund: refundWhen !== undefined,
      wait,
    });
  }

  /**
   * Decides on a request. The outcome is a promise only if a callback or a store is asynchronous, because each promise slows a
   * fast framework noticeably.
   *
   * @param signal - aborted when the client disconnects, which ends a wait. Without it the wait goes on.
   * @throws (or rejects with) an error of the calling code: a TypeError for an invalid key, or the error of a callback.
   */
  handle(request: R, signal?: WaitSignal): Outcome | Promise<Outcome> {
    if (this.#isPreflight(request)) return NOT_LIMITED;
    const { skip } = this.#options;
    if (skip === undefined) return this.#resolveCall(request, signal);
    const proceed = (isSkipped: boolean): Outcome | Promise<Outcome> =>
      assertBoolean("skip(request)", isSkipped) ? NOT_LIMITED : this.#resolveCall(request, signal);
    return andThen(skip(request), proceed);
  }

  #resolveCall(request: R, signal: WaitSignal | undefined): Outcome | Promise<Outcome> {
    let call;
    try {
      call = this.#resolver(request);
    } catch (error) {
      return this.#onResolveError(error, request);
    }
    return isPromiseLike(call)
      ? call.then(
          (late) => this.#resolveCost(late, request, signal),
          (error: unknown) => this.#onResolveError(error, request),
        )
      : this.#resolveCost(call, request, signal);
  }

  #onResolveError(error: unknown, request: R): Outcome {
    let isDisconnected = false;
    try {
      isDisconnected = this.#view.isDisconnected(request);
    } catch {
      // The request cannot be read. The first error is the more useful one.
    }
    // The address of a disconnected client is unknown, so an error of its key is expected.
    if (isDisconnected) return DISCONNECTED;
    throw error;
  }

  #resolveCost(call: LimiterCall | undefined, request: R, signal: WaitSignal | undefined): Outcome | Promise<Outcome> {
    if (call === undefined) return NOT_LIMITED;
    const { cost } = this.#options;
    if (typeof cost !== "function") return this.#runLimiter(call, cost, request, signal);
    return andThen(cost(request), (units) =>
      this.#runLimiter(call, assertInteger("cost(request)", units, 1), request, signal),
    );
  }

  #runLimiter(
    call: LimiterCall,
    units: number | undefined,
    request: R,
    signal: WaitSignal | undefined,
  ): Outcome | Promise<Outcome> {
    let decision;
    try {
      decision = call.check(units, signal);
    } catch (error) {
      return this.#onLimiterError(error, request);
    }
    if (!isPromiseLike(decision)) return this.#outcome(decision, call, request);
    return decision.then(
      (late) => this.#outcome(late, call, request),
      (error: unknown) => {
        if (this.waits && isWaitError(error)) return this.#outcome(error.decision, call, request, error.waitFailedBy);
        if (signal?.aborted === true && error === signal.reason) return DISCONNECTED;
        return this.#onLimiterError(error, request);
      },
    );
  }

  #onLimiterError(error: unknown, request: R): Promise<Outcome> {
    // An invalid key or cost, a bypass that throws, and a closed limiter are errors of the calling code: `whenDown` must not let
    // such a request pass. So a store reports its own failures as other errors. A closed limiter may be of another copy of the
    // package, so its code identifies it.
    if (error instanceof TypeError || error instanceof RangeError || isClosed(error)) throw error;
    return this.#onStoreDown(error, request);
  }

  #isPreflight(request: R): boolean {
    const { method, header, mayHaveUnannouncedBody, isPlain } = this.#view;
    if (method(request) !== "OPTIONS" || (this.#options.countPreflights ?? isPlain(request))) return false;
    const has = (name: string): boolean => (header(request, name) ?? "") !== "";
    // A browser sends neither credentials nor a body with a preflight.
    if (!has("origin") || !has("access-control-request-method") || NEVER_IN_PREFLIGHTS.some(has)) return false;
    // Some proxies add a `Content-Length` of 0 to requests without a body.
    if (!["", "0"].includes(header(request, "content-length") ?? "")) return false;
    return !mayHaveUnannouncedBody(request);
  }

  #outcome(decision: Decision, call: LimiterCall, request: R, waitFailedBy?: WaitFailure | null): Outcome {
    const results = call.resultsOf(decision);
    const fields = this.#headers.fieldsOf(decision, results);
    if (!decision.allowed) {
      const { lockedStatus = 429 } = this.#options;
      const problem = problemOf(decision, results, call.isAbuse(decision), lockedStatus);
      return makeOutcome(decision, fields, this.#rejection(decision, problem, fields, waitFailedBy));
    }
    const { refundWhen } = this.#options;
    if (refundWhen === undefined) return makeOutcome(decision, fields);
    const refund = (): Promise<unknown> => call.refund(decision);
    return makeOutcome(decision, fields, undefined, (status) => refundIf(refund, () => refundWhen(request, status)));
  }

  #rejection(
    decision: Decision,
    problem: Problem,
    limits: readonly HeaderEntry[],
    waitFailedBy: WaitFailure | null | undefined,
  ): Rejection {
    const seconds = retryAfterSeconds(decision);
    const wait: HeaderEntry[] = seconds < Infinity ? [["Retry-After", String(seconds)]] : [];
    const error = (): RateLimitExceededError => new RateLimitExceededError(decision, { waitFailedBy });
    return this.#makeRejection(problem, [...wait, NO_STORE], limits, error);
  }

  async #onStoreDown(error: unknown, request: R): Promise<Outcome> {
    const { onStoreError, whenDown = "deny" } = this.#options;
    if (onStoreError !== undefined) {
      callListener(
        () => onStoreError(error),
        (failure) =>
          warn("SLUICEGATE_CALLBACK_FAILED", "onStoreError failed; the request was handled nevertheless", failure),
      );
    }
    const action =
      typeof whenDown === "function"
        ? assertOneOf("whenDown(error, request)", await whenDown(error, request), ["allow", "deny"])
        : whenDown;
    if (action === "allow") return NOT_LIMITED;
    const failure = (): StoreError => new StoreError("The store failed, so the request was refused", { cause: error });
    return makeOutcome(undefined, [], this.#makeRejection(UNAVAILABLE, [NO_STORE], [], failure));
  }

  #makeRejection(
    problem: Problem,
    fields: readonly HeaderEntry[],
    limits: readonly HeaderEntry[],
    error: () => RateLimitExceededError | StoreError,
  ): Rejection {
    return {
      status: problem.status,
      fields,
      body: JSON.stringify(problem),
      error: (currentHeader) => {
        const entries = [...limits, ...fields].map((field) => [field[0], valueOf(currentHeader?.(field[0]), field)]);
        const headers = Object.fromEntries(entries) as Record<string, string>;
        const { status } = problem;
        return Object.assign(error(), { headers, expose: true, status, statusCode: status });
      },
    };
  }
}

function isClosed(error: unknown): boolean {
  return memberOf(error, "code") === "LIMITER_CLOSED";
}

/** Creates an outcome with four own properties, so that none of them is read from `Object.prototype`. */
function makeOutcome(
  decision: Decision | undefined,
  fields: readonly HeaderEntry[],
  rejection?: Rejection,
  onResponse?: (status: number) => Promise<void>,
): Outcome {
  return { decision, fields, rejection, onResponse };
}

/** Reads the optional members of a view, ignoring those of `Object.prototype`. */
function misuseView<R>(view: RequestView<R>): MisuseView<R> {
  const target = memberOf(view, "target") as RequestView<R>["target"];
  const identity = memberOf(view, "identity") as RequestView<R>["identity"];
  // With the address, because a limiter may be looked up by it.
  return { target, identity: identity && ((request) => `${view.address(request)} ${identity(request)}`) };
}

/** The value of a field that the response already has, or else the value of `entry`. */
function valueOf(currentHeader: unknown, [, value]: HeaderEntry): string {
  return typeof currentHeader === "string" && currentHeader !== "" ? currentHeader : value;
}

/** Refunds a request if `decide` returns true. It never rejects, because the response was already sent. */
async function refundIf(refund: () => Promise<unknown>, decide: () => MaybePromise<boolean>): Promise<void> {
  try {
    if (assertBoolean("refundWhen(request, status)", await decide())) await refund();
  } catch (error) {
    warn("SLUICEGATE_REFUND_FAILED", "A refund failed; the request stays counted", error);
  }
}

/**
 * Returns the value of a field after a limiter adds `entry` to the response. Since draft 8, `RateLimit` and `RateLimit-Policy` are
 * lists of Strings, so the value is appended to the current one. To `Access-Control-Expose-Headers`, the names that it has not are
 * appended. In every other field, the value replaces the current one.
 *
 * @param before - the current value of the field, or its lines; anything but a string or an array counts as absent.
 * @see RFC 9651, section 3.1
 */
export function appendHeader([name, value]: HeaderEntry, before: unknown): string {
  const list = Array.isArray(before) ? before.join(", ") : before;
  if (typeof list !== "string" || list === "") return value;
  if (name === EXPOSE_HEADERS) return withNames(list, value);
  const isList = (name === "RateLimit" || name === "RateLimit-Policy") && value.startsWith('"');
  return isList ? `${list}, ${value}` : value;
}

/** Appends the names of a list to another list that does not have them. Names of fields are case-insensitive. */
function withNames(list: string, names: string): string {
  const listed = new Set(list.toLowerCase().split(/[ \t]*,[ \t]*/));
  return [list, ...names.split(", ").filter((name) => !listed.has(name.toLowerCase()))].join(", ");
}

/**
 * Returns the fields to set on a response that a handler created: each of `limits` that the response does not contain, merged by
 * {@link appendHeader}, and each of `defaults` whose field the response does not have.
 *
 * @param currentValue - returns the current value of a field; null if the response does not have the field.
 */
export function missingHeaders(
  limits: readonly HeaderEntry[],
  defaults: readonly HeaderEntry[],
  currentValue: (name: string) => string | null,
): HeaderEntry[] {
  const missing: HeaderEntry[] = [];
  for (const entry of limits) {
    const before = currentValue(entry[0]);
    // Mostly the response has just this value.
    if (before === entry[1] || `, ${before}, `.includes(`, ${entry[1]}, `)) continue;
    missing.push([entry[0], appendHeader(entry, before)]);
  }
  for (const entry of defaults) if (currentValue(entry[0]) === null) missing.push(entry);
  return missing;
}

/** A response whose connection can be closed. */
export interface Closable {
  destroy?(): unknown;
}

/**
 * Decides on a request for a framework that continues by a callback, without a promise if the limiter needs none.
 *
 * Every error goes to `failed`: one that the limiter throws or rejects with, and one that `proceed` throws.
 */
export function runWithCallback<R, A extends readonly unknown[]>(
  limiter: HttpRateLimiter<R, A>,
  request: R,
  response: NodeResponse & Closable,
  proceed: (outcome: Outcome) => void,
  failed: (error: Error) => void,
): void {
  let outcome;
  try {
    outcome = limiter.handle(request, limiter.waits ? closeSignal(response) : undefined);
    if (!isPromiseLike(outcome)) return proceed(outcome);
  } catch (error) {
    return failed(callbackError(error));
  }
  const fail = (error: unknown): void => failed(callbackError(error));
  const attempt = (late: Outcome): void => {
    try {
      proceed(late);
    } catch (error) {
      fail(error);
    }
  };
  outcome.then(attempt, fail).then(undefined, closing(response));
}

/** Returns a handler for an error that the error handler itself throws behind a promise, where no caller can catch it. */
export function closing(response: Closable): (error: unknown) => void {
  return (error) => {
    warn("SLUICEGATE_CALLBACK_FAILED", "The error handler failed; the connection was closed", error);
    response.destroy?.();
  };
}

/**
 * Converts a thrown value to an error: a framework treats a falsy value as no error, and would let the request pass.
 */
export function callbackError(thrown: unknown): Error {
  return thrown instanceof Error
    ? thrown
    : new Error("A callback threw a value that is not an error", { cause: thrown });
}
