import type { Request, Response } from "express";
import type { Decision } from "../../core/decision.js";
import type { Accepted, HttpOptions } from "../options.js";
import type { ConnectMiddleware, ConnectRequest, ConnectResponse } from "./node.js";
import { rateLimit as limitRequests } from "./node.js";

declare global {
  // The types of express expect declarations of request properties here.
  namespace Express {
    interface Request {
      /** The latest decision on this request; undefined if no limit applied. */
      rateLimit?: Decision | undefined;
    }
  }
}

/**
 * Limits the requests that reach a point of an express app. Connect, `node:http` and `node:http2` have `sluicegate/node`, the same
 * middleware with their types.
 *
 * A refused request gets a response of status 429 and `application/problem+json`, and later handlers do not run. The decision is
 * `request.rateLimit`. Errors of your code go to `next`: an invalid `key`, or an error that a handler behind `next` throws
 * before it returns. So `next` may be called twice for one request, the second time with an error.
 *
 * @throws TypeError for an option that is unknown or of the wrong type, RangeError for one out of range.
 *
 * @example
 * app.use(rateLimit({ limiter: new AsyncRateLimiter({ maxCalls: 100, period: "1m" }) }));
 */
export function rateLimit<
  R extends ConnectRequest = Request,
  S extends ConnectResponse = Response,
  K extends string = string,
>(
  options: HttpOptions<R, K, readonly [response: S]>,
): ConnectMiddleware<Accepted<R, Request, ConnectRequest>, Accepted<S, Response, ConnectResponse>> {
  return limitRequests(options) as never;
}

export type { HttpOptions } from "../options.js";
export { clientKey } from "../client-ip.js";
export type { ConnectMiddleware, ConnectRequest, ConnectResponse } from "./node.js";
