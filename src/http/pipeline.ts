import { andThen, callListener, isPromiseLike, warn } from "../core/callbacks.js";
import type { Decision } from "../core/decision.js";
import { retryAfterSeconds } from "../core/decision.js";
import { RateLimitExceededError, StoreError } from "../core/errors.js";
import { argumentError, assertInteger, assertOneOf, memberOf } from "../core/validate.js";
import { clientOfRequest } from "./client-ip.js";
import type { HeaderEntry, LimiterResult } from "./headers.js";
import type { CallResolver, LimiterCall, MisuseView } from "./limiter-call.js";
import { callResolver } from "./limiter-call.js";
import type { AnswerOptions, HttpOptions } from "./options.js";
import { checkedHttpOptions } from "./options.js";
import type { Outcome, Rejection } from "./outcome.js";
import { callbackError } from "./outcome.js";
import type { Problem } from "./problem.js";
import { UNAVAILABLE, problemOf } from "./problem.js";
import { rateLimitDraft11 } from "./headers-draft-11.js";
import type { RequestAdapter } from "./request-adapter.js";
import { xRateLimit } from "./headers-legacy.js";

/** The request goes on, and nobody hears of it. */
const UNCOUNTED: Outcome = passage(undefined, []);

/** Nobody is there to read an answer, and without an address there is no key: the request must not go on uncounted. */
const GONE: Outcome = passage(undefined, [], { status: 400, fields: [], body: undefined, error: undefined });

/** @see The Fetch standard, section 4.8, CORS-preflight fetch */
const NEVER_IN_PREFLIGHTS = ["authorization", "cookie", "content-type", "transfer-encoding"];

/** A response that a cache must not keep, and that is no answer to a later request. @see RFC 6585, section 4 */
const NOT_STORED: HeaderEntry = ["Cache-Control", "no-store"];

/**
 * The one pipeline behind every adapter: asks the limiters about a request, and says what is to become of it.
 *
 * It knows no framework: `view` looks at the requests of one, and its adapter does what the passage says.
 */
export class HttpRateLimiter<R, A extends readonly unknown[] = readonly [], K extends string = string> {
  readonly #options: AnswerOptions<R, A>;
  readonly #view: RequestAdapter<R>;
  readonly #asker: CallResolver<R>;
  /** Whether refusals are for the framework's error handler. */
  readonly throws: boolean;
  /** Who answers refusals in place of the adapter, where somebody does. */
  readonly onRefused: ((request: R, decision: Decision, ...rest: A) => unknown) | undefined;

  /** @throws TypeError for an option that is unknown or of the wrong type, RangeError for one out of range. */
  constructor(options: HttpOptions<R, K, A>, view: RequestAdapter<R>) {
    const checked = checkedHttpOptions(options);
    const {
      client = {},
      headers = "draft-11",
      refundWhen,
      onRefused,
      throw: throws = false,
      warnings = true,
    } = checked;
    this.#options = checked;
    this.#view = view;
    this.throws = throws;
    this.onRefused = onRefused;
    this.#asker = callResolver(checked, {
      clientOf: clientOfRequest(view, client, warnings),
      misuse: warnings ? misuseView(view) : undefined,
      isNamed: headers === "draft-11" || headers === "both",
      needsRefund: refundWhen !== undefined,
    });
  }

  /**
   * Decides on a request, at once where nothing has to be waited for: each promise is felt on a fast framework.
   *
   * It throws, or rejects, when the code around it is wrong: a key that is none, or what a callback throws.
   */
  handle(request: R): Outcome | Promise<Outcome> {
    if (this.#isPreflight(request)) return UNCOUNTED;
    const { skip } = this.#options;
    if (skip === undefined) return this.#limited(request);
    const proceed = (answer: boolean): Outcome | Promise<Outcome> =>
      isTrue("skip(request)", answer) ? UNCOUNTED : this.#limited(request);
    return andThen(skip(request), proceed);
  }

  #limited(request: R): Outcome | Promise<Outcome> {
    let question;
    try {
      question = this.#asker(request);
    } catch (error) {
      return this.#lost(error, request);
    }
    return isPromiseLike(question)
      ? question.then(
          (late) => this.#priced(late, request),
          (error: unknown) => this.#lost(error, request),
        )
      : this.#priced(question, request);
  }

  #lost(error: unknown, request: R): Outcome {
    let isGone = false;
    try {
      isGone = this.#view.isDisconnected(request);
    } catch {
      // A request that cannot be looked at: the first error says what is wrong with it.
    }
    // Its address went with the client, and with that whatever was to be made of it.
    if (isGone) return GONE;
    throw error;
  }

  #priced(question: LimiterCall | undefined, request: R): Outcome | Promise<Outcome> {
    if (question === undefined) return UNCOUNTED;
    const { cost } = this.#options;
    if (typeof cost !== "function") return this.#asked(question, cost, request);
    return andThen(cost(request), (spend) => this.#asked(question, assertInteger("cost(request)", spend, 1), request));
  }

  #asked(question: LimiterCall, spend: number | undefined, request: R): Outcome | Promise<Outcome> {
    let decision;
    try {
      decision = question.check(spend);
    } catch (error) {
      return this.#failed(error, request);
    }
    return isPromiseLike(decision)
      ? decision.then(
          (late) => this.#passage(late, question, request),
          (error: unknown) => this.#failed(error, request),
        )
      : this.#passage(decision, question, request);
  }

  #failed(error: unknown, request: R): Promise<Outcome> {
    // An invalid key or cost, a bypass that throws, and a closed limiter are errors of the calling code: `whenDown` must not let
    // such a request pass. So a store reports its own failures as other errors. A closed limiter may be of another copy of the
    // package, so its code identifies it.
    if (error instanceof TypeError || error instanceof RangeError || isClosed(error)) throw error;
    return this.#down(error, request);
  }

  #isPreflight(request: R): boolean {
    const { method, header, mayHaveUnannouncedBody, isPlain } = this.#view;
    if (method(request) !== "OPTIONS" || (this.#options.countPreflights ?? isPlain(request))) return false;
    const has = (name: string): boolean => (header(request, name) ?? "") !== "";
    // A browser sends neither credentials nor a body with one: whoever does wants something of the handler.
    if (!has("origin") || !has("access-control-request-method") || NEVER_IN_PREFLIGHTS.some(has)) return false;
    // Some proxies add a `Content-Length` of 0 to requests without a body.
    if (!["", "0"].includes(header(request, "content-length") ?? "")) return false;
    return !mayHaveUnannouncedBody(request);
  }

  #passage(decision: Decision, question: LimiterCall, request: R): Outcome {
    const answers = question.answersIn(decision);
    const fields = this.#fields(decision, answers);
    if (!decision.allowed) {
      const problem = problemOf(decision, answers, question.isAbuse(decision));
      return passage(decision, fields, this.#refused(decision, problem, fields));
    }
    const { refundWhen } = this.#options;
    if (refundWhen === undefined) return passage(decision, fields);
    const giveBack = (): Promise<unknown> => question.refund(decision);
    return passage(decision, fields, undefined, (status) => refunded(giveBack, () => refundWhen(request, status)));
  }

  #fields(decision: Decision, answers: readonly LimiterResult[]): readonly HeaderEntry[] {
    switch (this.#options.headers) {
      case undefined:
      case "draft-11":
        return rateLimitDraft11(answers);
      case "legacy":
        return xRateLimit(decision, Date.now());
      case "both":
        return [...rateLimitDraft11(answers), ...xRateLimit(decision, Date.now())];
      case false:
        return [];
    }
  }

  #refused(decision: Decision, problem: Problem, limits: readonly HeaderEntry[]): Rejection {
    const seconds = retryAfterSeconds(decision);
    const wait: HeaderEntry[] = seconds < Infinity ? [["Retry-After", String(seconds)]] : [];
    return this.#refusal(problem, [...wait, NOT_STORED], limits, () => new RateLimitExceededError(decision));
  }

  async #down(error: unknown, request: R): Promise<Outcome> {
    const { onStoreError, whenDown = "deny" } = this.#options;
    if (onStoreError !== undefined) {
      callListener(
        () => onStoreError(error),
        (failure) => warn("onStoreError failed; the request was answered all the same", failure),
      );
    }
    const wish =
      typeof whenDown === "function"
        ? assertOneOf("whenDown(error, request)", await whenDown(error, request), ["allow", "deny"])
        : whenDown;
    if (wish === "allow") return UNCOUNTED;
    const failure = (): StoreError =>
      new StoreError("The store could not answer, so the request was refused", { cause: error });
    return passage(undefined, [], this.#refusal(UNAVAILABLE, [NOT_STORED], [], failure));
  }

  #refusal(
    problem: Problem,
    fields: readonly HeaderEntry[],
    limits: readonly HeaderEntry[],
    error: () => RateLimitExceededError | StoreError,
  ): Rejection {
    return {
      status: problem.status,
      fields,
      body: JSON.stringify(problem),
      error: (told) => {
        const headers = [...limits, ...fields].map((field) => [field[0], valueOf(told?.(field[0]), field)]);
        return Object.assign(error(), { headers: Object.fromEntries(headers) as Record<string, string>, expose: true });
      },
    };
  }
}

function isClosed(error: unknown): boolean {
  return memberOf(error, "code") === "LIMITER_CLOSED";
}

/** A passage with each property of its own, so that nothing that is left out comes from `Object.prototype`. */
function passage(
  decision: Decision | undefined,
  fields: readonly HeaderEntry[],
  refusal?: Rejection,
  onResponse?: (status: number) => Promise<void>,
): Outcome {
  return { decision, fields, refusal, onResponse };
}

/** Reads what a view may leave out from itself or its class alone. */
function misuseView<R>(view: RequestAdapter<R>): MisuseView<R> {
  const target = memberOf(view, "target") as RequestAdapter<R>["target"];
  const identity = memberOf(view, "identity") as RequestAdapter<R>["identity"];
  // The address, because a handler may find the limiter of a client by it.
  return { target, identity: identity && ((request) => `${view.address(request)} ${identity(request)}`) };
}

/** What an answer has of a field by now, or else the field's own value. */
function valueOf(told: unknown, [, value]: HeaderEntry): string {
  return typeof told === "string" && told !== "" ? told : value;
}

/** Gives a request back where that is wished. It never rejects: the answer is out, whatever becomes of this. */
async function refunded(refund: () => Promise<unknown>, isWished: () => boolean): Promise<void> {
  try {
    if (isTrue("refundWhen(request, status)", isWished())) await refund();
  } catch (error) {
    warn("A refund failed; the request stays counted", error);
  }
}

/** Checks an answer that is to be a boolean: a promise of one would always be true. */
function isTrue(name: string, answer: unknown): boolean {
  // Nobody waits for it, so nobody would hear of its rejection either.
  if (isPromiseLike(answer)) answer.then(undefined, () => undefined);
  if (typeof answer !== "boolean") throw new TypeError(argumentError(name, "a boolean", answer));
  return answer;
}

/** A response whose connection can be closed. */
export interface Closable {
  destroy?(): unknown;
}

/**
 * Decides on a request for a framework that goes on by a callback: without a promise where the guard needs none.
 *
 * Every error goes to `failed`, whether the guard throws it or rejects with it, or `proceed` throws it, now or later.
 */
export function runWithCallback<R, A extends readonly unknown[]>(
  guard: HttpRateLimiter<R, A>,
  request: R,
  response: Closable,
  proceed: (passage: Outcome) => void,
  failed: (error: Error) => void,
): void {
  let passage;
  try {
    passage = guard.handle(request);
    if (!isPromiseLike(passage)) return proceed(passage);
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
  passage.then(attempt, fail).then(undefined, closing(response));
}

/** Makes what handles an error of the error handler itself behind a promise: no caller could catch it any more. */
export function closing(response: Closable): (error: unknown) => void {
  return (error) => {
    warn("The error handler failed; the connection was closed", error);
    response.destroy?.();
  };
}
