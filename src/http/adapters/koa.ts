import type { Context } from "koa";
import type { Decision } from "../../core/decision.js";
import type { HeaderEntry } from "../headers.js";
import type { Accepted, HttpOptions } from "../options.js";
import { HttpRateLimiter, PROBLEM_TYPE, appendHeader, callbackError } from "../pipeline.js";
import type { NodeRequest, RequestView } from "../request-view.js";
import { nodeRequestView } from "../request-view.js";
import type { NodeResponse } from "../response-end.js";
import { closeSignal, whenSent } from "../response-end.js";

/** The members of `ctx.state` that the middleware sets, for the type of an app: `new Koa<RateLimitState>()`. */
export interface RateLimitState {
  /** The latest decision on this request; undefined if no limit applied. */
  rateLimit?: Decision | undefined;
}

/** The members of a koa context that the middleware uses. */
export interface KoaContext {
  readonly method: string;
  readonly url: string;
  readonly path: string;
  readonly ip: string;
  readonly headers: NodeRequest["headers"];
  readonly socket: NodeRequest["socket"];
  readonly res: NodeResponse;
  readonly response: { get(name: string): unknown };
  readonly headerSent: boolean;
  state: object;
  status: number;
  body: unknown;
  /** The value of a request header; `""` if there is none. */
  get(name: string): string;
  set(name: string, value: string): void;
}

// Koa has no router, so a middleware receives requests of every method.
const requestView: RequestView<KoaContext> = { ...nodeRequestView, isPlain: () => true };

/** A middleware of koa. */
export type KoaMiddleware<C> = (context: C, next: () => Promise<unknown>) => Promise<void>;

/**
 * Limits the requests that reach a point of a koa app.
 *
 * A refused request gets a response of status 429 and `application/problem+json`, and later handlers do not run. The decision is
 * `ctx.state.rateLimit`. Errors of your code, such as an invalid `key`, are thrown, as koa expects.
 *
 * @throws TypeError for an option that is unknown or of the wrong type, RangeError for one out of range.
 *
 * @example
 * app.use(rateLimit({ limiter: new AsyncRateLimiter({ maxCalls: 100, period: "1m" }) }));
 */
export function rateLimit<C extends KoaContext = Context, K extends string = string>(
  options: HttpOptions<C, K>,
): KoaMiddleware<Accepted<C, Context, KoaContext>> {
  const limiter = new HttpRateLimiter(options, requestView);
  const middleware: KoaMiddleware<C> = async function rateLimit(context, next) {
    const { decision, fields, rejection, onResponse } = await withErrors(() =>
      limiter.handle(context, limiter.waits ? closeSignal(context.res) : undefined),
    );
    if (decision !== undefined) (context.state as RateLimitState).rateLimit = decision;
    // Koa ignores fields that are set after the headers were sent.
    setFields(context, fields);
    if (rejection === undefined) {
      if (onResponse !== undefined) whenSent(context.res, onResponse);
      await next();
      return;
    }
    setFields(context, rejection.fields);
    // If the headers were sent, koa would append a body to the response that has begun, but only reports an error.
    if (rejection.error !== undefined && (limiter.throws || context.headerSent))
      throw rejection.error((name) => context.response.get(name));
    context.status = rejection.status;
    if (limiter.onRefused !== undefined && decision !== undefined) {
      try {
        await withErrors(() => limiter.onRefused?.(context, decision));
      } catch (error) {
        // Koa cannot unset a status, and an error handler that sets none must not send the status of the refusal.
        if (context.status === rejection.status) context.status = 500;
        throw error;
      }
      return;
    }
    context.set("Content-Type", PROBLEM_TYPE);
    // For a body of null, koa would send a 204 without a type.
    context.body = rejection.body ?? "";
  };
  return middleware as never;
}

/** Converts any value that `run` throws to an error: koa does not respond to a request if another value is thrown. */
async function withErrors<T>(run: () => T | Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (error) {
    throw callbackError(error);
  }
}

function setFields(context: KoaContext, fields: readonly HeaderEntry[]): void {
  for (const field of fields) context.set(field[0], appendHeader(field, context.response.get(field[0])));
}

export type { HttpOptions } from "../options.js";
export { clientKey } from "../client-ip.js";
