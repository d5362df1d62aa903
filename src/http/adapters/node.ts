import type { Decision } from "../../core/decision.js";
import { memberOf } from "../../core/validate.js";
import type { HeaderEntry } from "../headers.js";
import { warnIfUnanswered } from "../misuse.js";
import type { HttpOptions } from "../options.js";
import type { Closable, Outcome, Rejection } from "../pipeline.js";
import { HttpRateLimiter, PROBLEM_TYPE, appendHeader, callbackError, closing, runWithCallback } from "../pipeline.js";
import type { NodeRequest, RequestView } from "../request-view.js";
import { nodeRequestView } from "../request-view.js";
import type { NodeResponse } from "../response-end.js";
import { whenSent } from "../response-end.js";

/** A request of express, connect or Node's HTTP server. */
export interface ConnectRequest extends NodeRequest {
  /** Express and connect set it; a server of Node does not. */
  readonly originalUrl?: string | undefined;
  /** The latest decision on this request; undefined if no limit applied. */
  rateLimit?: Decision | undefined;
}

/** A response of express, connect or Node's HTTP server. */
export interface ConnectResponse extends NodeResponse, Closable {
  statusCode: number;
  getHeader(name: string): unknown;
  setHeader(name: string, value: string): unknown;
  end(body: string): unknown;
}

/**
 * A middleware of connect or express. With Node's HTTP server, `next` handles a request that passes, or an error:
 * `(error) => (error ? fail() : handle())`.
 */
export type ConnectMiddleware<R, S> = (request: R, response: S, next: (error?: unknown) => void) => void;

const requestView: RequestView<ConnectRequest> = {
  ...nodeRequestView,
  isPlain: (request) => memberOf(request, "originalUrl") === undefined || isInRouteOfMoreMethods(request),
};

/** Whether the middleware is in a route of other methods besides `OPTIONS`, such as `app.all`. Routers set `route` on a request. */
function isInRouteOfMoreMethods(request: ConnectRequest): boolean {
  const methods = memberOf(memberOf(request, "route"), "methods");
  return typeof methods === "object" && methods !== null && Object.keys(methods).some((method) => method !== "options");
}

/**
 * Limits the requests that reach a point of a connect app, or of a server of `node:http` or `node:http2`. For express, import
 * `sluicegate/express`.
 *
 * A refused request gets a response of status 429 and `application/problem+json`, and later handlers do not run. The decision is
 * `request.rateLimit`. Errors of your code go to `next`: an invalid `key`, or an error that a handler behind `next` throws
 * before it returns. So `next` may be called twice for one request, the second time with an error.
 *
 * @throws TypeError for an option that is unknown or of the wrong type, RangeError for one out of range.
 *
 * @example
 * const limit = rateLimit({ limiter: new AsyncRateLimiter({ maxCalls: 100, period: "1m" }) });
 * createServer((request, response) => limit(request, response, (error) => (error ? fail(response) : handle(request, response))));
 */
export function rateLimit<
  R extends ConnectRequest = ConnectRequest,
  S extends ConnectResponse = ConnectResponse,
  K extends string = string,
>(options: HttpOptions<R, K, readonly [response: S]>): ConnectMiddleware<R, S> {
  const limiter = new HttpRateLimiter(options, requestView);
  return function rateLimit(request, response, next) {
    runWithCallback(limiter, request, response, (outcome) => proceed(limiter, outcome, request, response, next), next);
  };
}

function proceed<R extends ConnectRequest, S extends ConnectResponse>(
  limiter: HttpRateLimiter<R, readonly [response: S]>,
  { decision, fields, rejection, onResponse }: Outcome,
  request: R,
  response: S,
  next: (error?: unknown) => void,
): void {
  if (decision !== undefined) request.rateLimit = decision;
  // Other code has responded meanwhile, such as a timeout, so no field can be set any more. The error of a refused request keeps it
  // from later handlers.
  if (response.headersSent) {
    if (rejection === undefined) next();
    else if (rejection.error !== undefined) next(rejection.error());
    return;
  }
  setFields(response, fields);
  if (rejection === undefined) {
    if (onResponse !== undefined) whenSent(response, onResponse);
    return next();
  }
  setFields(response, rejection.fields);
  if (limiter.throws && rejection.error !== undefined) return next(rejection.error((name) => response.getHeader(name)));
  const before = response.statusCode;
  response.statusCode = rejection.status;
  if (limiter.onRefused === undefined || decision === undefined) return write(response, rejection);
  callOnRefused(limiter.onRefused, request, decision, response)
    .then(() => {
      if (limiter.warns && !response.headersSent) warnIfUnanswered(response);
    })
    .catch((error: unknown) => {
      // The error handler decides on the status, as with `throw: true`.
      if (response.statusCode === rejection.status && !response.headersSent) response.statusCode = before;
      next(callbackError(error));
    })
    .catch(closing(response));
}

function write(response: ConnectResponse, { body }: Rejection): void {
  response.setHeader("Content-Type", PROBLEM_TYPE);
  response.end(body ?? "");
}

async function callOnRefused<R, S>(
  onRefused: (request: R, decision: Decision, response: S) => unknown,
  request: R,
  decision: Decision,
  response: S,
): Promise<void> {
  await onRefused(request, decision, response);
}

function setFields(response: ConnectResponse, fields: readonly HeaderEntry[]): void {
  for (const field of fields) response.setHeader(field[0], appendHeader(field, response.getHeader(field[0])));
}

export type { HttpOptions } from "../options.js";
export { clientKey } from "../client-ip.js";
