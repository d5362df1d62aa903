import type { Decision } from "../../core/decision.js";
import { typeError } from "../../core/validate.js";
import type { HeaderEntry } from "../headers.js";
import type { HttpOptions } from "../options.js";
import { HttpRateLimiter, PROBLEM_TYPE, missingHeaders } from "../pipeline.js";
import type { RequestView } from "../request-view.js";
import type { FetchRequest, FetchResponse } from "./fetch-standard.js";
import {
  hangUpSignal,
  identityOf,
  isPeerGone,
  isResponse,
  mayPeerSendBody,
  outcomeReporter,
  peerAddress,
  responseOf,
} from "./fetch-standard.js";

/** A global of Node, Bun, Deno and edge workers that the ES2022 types omit. */
declare const Response: new (body: unknown, init: object) => FetchResponse;

/** A request handler: of `Bun.serve` or `Deno.serve`, a route of Next.js, or the `fetch` of a worker. */
export type FetchHandler<Q, S, X extends readonly unknown[]> = (request: Q, ...rest: X) => S | PromiseLike<S>;

/** The second argument of the handler, by request. On some platforms it holds the client's address. */
const environments = new WeakMap<object, unknown>();

const requestView: RequestView<FetchRequest> = {
  method: ({ method }) => method,
  header: ({ headers }, name) => headers.get(name) ?? undefined,
  address: (request) => peerAddress(environments.get(request), request),
  isDisconnected: (request) => isPeerGone(environments.get(request)),
  mayHaveUnannouncedBody: (request) => mayPeerSendBody(environments.get(request)),
  isPlain: () => true,
  identity: identityOf,
};

/** The latest decision, by request. */
const decisions = new WeakMap<object, Decision>();

/** The latest decision on a request; undefined if no limit applied. */
export function rateLimitOf(request: FetchRequest): Decision | undefined {
  return decisions.get(request);
}

/**
 * Returns a function that limits a handler, as {@link withRateLimit} does: options first, so that several handlers share them.
 *
 * @throws TypeError for an option that is unknown or of the wrong type, RangeError for one out of range.
 *
 * @example
 * const limited = rateLimit({ limiter });
 * Deno.serve(limited(async (request) => new Response("hello")));
 */
export function rateLimit<Q extends FetchRequest = FetchRequest, K extends string = string>(
  options: HttpOptions<Q, K>,
): <P extends Q, S, X extends readonly unknown[]>(
  handler: FetchHandler<P, S, X>,
) => (request: P, ...rest: X) => Promise<S> {
  // Created here, so that invalid options throw before a handler is given.
  const limiter = new HttpRateLimiter(options, requestView);
  return (handler) => limited(handler, limiter);
}

/**
 * Limits a handler of Fetch requests: returns an asynchronous handler that calls it only for requests that pass.
 *
 * A refused request gets a response of status 429 and `application/problem+json`, and the handler is not called. In the handler
 * `rateLimitOf(request)` is the decision. `onRefused` returns the response. Errors of your code, such as an invalid `key`, reject,
 * as do those of the handler.
 *
 * The client's address is known if the second argument is Bun's `server` or Deno's `info`. On other platforms set the header
 * that the platform writes: `client: { header: "cf-connecting-ip" }`.
 *
 * @throws TypeError for an option that is unknown or of the wrong type, RangeError for one out of range.
 *
 * @example
 * Bun.serve({ fetch: withRateLimit(async (request) => new Response("hello"), { limiter }) });
 */
export function withRateLimit<Q extends FetchRequest, S, X extends readonly unknown[], K extends string = string>(
  handler: FetchHandler<Q, S, X>,
  options: HttpOptions<Q, K>,
): (request: Q, ...rest: X) => Promise<S> {
  return limited(handler, new HttpRateLimiter(options, requestView));
}

function limited<Q extends FetchRequest, S, X extends readonly unknown[]>(
  handler: FetchHandler<Q, S, X>,
  limiter: HttpRateLimiter<Q>,
): (request: Q, ...rest: X) => Promise<S> {
  if (typeof handler !== "function") throw typeError("handler", "a function of the request", handler);
  return async function rateLimit(request, ...rest) {
    environments.set(request, rest[0]);
    const { decision, fields, rejection, onResponse } = await limiter.handle(
      request,
      limiter.waits ? hangUpSignal(rest[0], request) : undefined,
    );
    if (decision !== undefined) decisions.set(request, decision);
    if (rejection === undefined) {
      const report = onResponse && outcomeReporter(rest, request, onResponse);
      return withHeaders(await runHandler(() => handler(request, ...rest), report), fields);
    }
    if (limiter.throws && rejection.error !== undefined) throw rejection.error();
    if (limiter.onRefused !== undefined && decision !== undefined) {
      return withHeaders(responseOf(await limiter.onRefused(request, decision)) as S, fields, rejection.fields);
    }
    const headers = Object.fromEntries([...fields, ...rejection.fields, ["Content-Type", PROBLEM_TYPE]]);
    return new Response(request.method === "HEAD" ? null : (rejection.body ?? null), {
      status: rejection.status,
      headers,
    }) as S;
  };
}

/** Runs the handler and reports the status of its response: 500 if it throws. */
async function runHandler<S>(
  handler: () => S | PromiseLike<S>,
  report: ((status: number) => void) | undefined,
): Promise<S> {
  let response;
  try {
    response = await handler();
  } catch (error) {
    report?.(500);
    throw error;
  }
  if (isResponse(response)) report?.(response.status);
  return response;
}

/** Adds the fields of the limits, and those defaults that the response lacks. */
function withHeaders<S>(response: S, limits: readonly HeaderEntry[], defaults: readonly HeaderEntry[] = []): S {
  // For an upgraded connection, a handler of Bun returns nothing, and one of Deno a response of status 101, which cannot be copied.
  if (limits.length + defaults.length === 0 || !isResponse(response) || response.status < 200) return response;
  // Sets the fields on a copy, because some responses have immutable headers, and a handler may reuse a response.
  const copy = new Response(response.body, response);
  for (const [name, value] of missingHeaders(limits, defaults, (field) => copy.headers.get(field))) {
    copy.headers.set(name, value);
  }
  return copy as S;
}

export type { HttpOptions } from "../options.js";
export { clientKey } from "../client-ip.js";
export type { FetchRequest, FetchResponse } from "./fetch-standard.js";
