import type { Context } from "hono";
import { isPromiseLike } from "../../core/callbacks.js";
import type { Decision } from "../../core/decision.js";
import type { HeaderEntry } from "../headers.js";
import { EXPOSE_HEADERS } from "../headers.js";
import type { Accepted, HttpOptions } from "../options.js";
import { HttpRateLimiter, PROBLEM_TYPE, appendHeader, missingHeaders } from "../pipeline.js";
import type { RequestView } from "../request-view.js";
import type { FetchRequest } from "./fetch-standard.js";
import {
  hangUpSignal,
  identityOf,
  isPeerGone,
  mayPeerSendBody,
  outcomeReporter,
  peerAddress,
  responseOf,
} from "./fetch-standard.js";

/** The variables that the middleware sets, for the type of an app: `new Hono<{ Variables: RateLimitVariables }>()`. */
export interface RateLimitVariables {
  /** The latest decision on this request; undefined if no limit applied. */
  rateLimit: Decision | undefined;
}

/** The members of a response that are read here. */
export interface HonoResponse {
  readonly status: number;
  readonly headers: { get(name: string): string | null };
}

/** The members of a hono context that the middleware uses. */
export interface HonoContext {
  readonly req: {
    readonly method: string;
    readonly url: string;
    readonly path: string;
    readonly raw: unknown;
    header(name: string): string | undefined;
  };
  readonly env: unknown;
  /** What a worker receives beside the request. Hono throws if the platform passes nothing. */
  readonly executionCtx: unknown;
  res: HonoResponse;
  set(name: "rateLimit", value: Decision): void;
  header(name: string, value: string): void;
  status(code: never): void;
  body(data: string | null): HonoResponse;
}

/** A middleware of hono. */
export type HonoMiddleware<C> = (context: C, next: () => Promise<void>) => Promise<void>;

const requestView: RequestView<HonoContext> = {
  method: ({ req }) => req.method,
  header: ({ req }, name) => req.header(name),
  address: ({ env, req }) => peerAddress(env, req.raw),
  isDisconnected: ({ env }) => isPeerGone(env),
  mayHaveUnannouncedBody: ({ env }) => mayPeerSendBody(env),
  isPlain: () => false,
  identity: ({ req }) => identityOf(req.raw as FetchRequest),
};

/**
 * The property of a context that holds the fields of outer limiters, which hono does not expose before there is a response. It is
 * on the context, because a WeakMap with an entry for each request keeps the garbage collector busy. The symbol is registered,
 * so that two copies of the package share it.
 */
const PENDING_HEADERS = Symbol.for("sluicegate.hono.fields");

interface PendingHeaders {
  [PENDING_HEADERS]?: readonly HeaderEntry[];
}

/**
 * Limits the requests that reach a point of a hono app, on any platform.
 *
 * A refused request gets a response of status 429 and `application/problem+json`, and later handlers do not run. The decision is
 * `c.get("rateLimit")`. Errors of your code, such as an invalid `key`, are thrown, as hono expects. `onRefused` returns
 * the response.
 *
 * The client's address is known on Node (`@hono/node-server`), Bun and Deno. On other platforms set the header that the platform
 * writes: `client: { header: "cf-connecting-ip" }`.
 *
 * @throws TypeError for an option that is unknown or of the wrong type, RangeError for one out of range.
 *
 * @example
 * app.use(rateLimit({ limiter: new AsyncRateLimiter({ maxCalls: 100, period: "1m" }) }));
 */
export function rateLimit<C extends HonoContext = Context, K extends string = string>(
  options: HttpOptions<C, K>,
): HonoMiddleware<Accepted<C, Context, HonoContext>> {
  const limiter = new HttpRateLimiter(options, requestView);
  const middleware: HonoMiddleware<C> = async function rateLimit(context, next) {
    const signal = limiter.waits ? hangUpSignal(context.env, context.req.raw) : undefined;
    const outcome = limiter.handle(context, signal);
    const { decision, fields, rejection, onResponse } = isPromiseLike(outcome) ? await outcome : outcome;
    if (decision !== undefined) context.set("rateLimit", decision);
    const carrier = context as PendingHeaders;
    const before = carrier[PENDING_HEADERS];
    const limits = before === undefined ? fields : fields.map((field) => appendedField(field, before));
    carrier[PENDING_HEADERS] = limits;
    setFields(context, limits);
    if (rejection === undefined) {
      const report =
        onResponse && outcomeReporter([context.env, executionContextOf(context)], context.req.raw, onResponse);
      await next();
      setFields(context, missingFields(context.res, limits));
      report?.(context.res.status);
      return;
    }
    const { error, status, body } = rejection;
    setFields(context, rejection.fields);
    const respond = (): HonoResponse => {
      context.status(status as never);
      context.header("Content-Type", PROBLEM_TYPE);
      return context.body(context.req.method === "HEAD" ? null : (body ?? null));
    };
    // If the app has no error handler, hono calls `getResponse` of the error.
    if (limiter.throws && error !== undefined) throw Object.assign(error(), { getResponse: respond });
    if (limiter.onRefused === undefined || decision === undefined) {
      context.res = respond();
      return;
    }
    context.status(status as never);
    let response;
    try {
      response = responseOf(await limiter.onRefused(context, decision));
    } catch (failure) {
      // The error handler decides on the status, as with `throw: true`: hono's default is 200.
      context.status(200 as never);
      throw failure;
    }
    // Hono overwrites fields of a new response with those of an earlier one, which a middleware may have created. So the fields
    // of this response are read before the assignment, and set after it.
    const own = rejection.fields.map(([name, value]): HeaderEntry => [name, response.headers.get(name) ?? value]);
    const missing = missingFields(response, limits);
    context.res = response;
    if (response.status >= 200) setFields(context, [...missing, ...own]);
  };
  return middleware as never;
}

function executionContextOf(context: HonoContext): unknown {
  try {
    return context.executionCtx;
  } catch {
    return undefined;
  }
}

function setFields(context: HonoContext, fields: readonly HeaderEntry[]): void {
  for (const field of fields) {
    const [name, value] = field;
    // The middleware for CORS has created a response to set its fields.
    context.header(name, name === EXPOSE_HEADERS ? appendHeader(field, context.res.headers.get(name)) : value);
  }
}

/** Appends a field to that of outer limiters. */
function appendedField(field: HeaderEntry, before: readonly HeaderEntry[]): HeaderEntry {
  return [field[0], appendHeader(field, before.find(([name]) => name === field[0])?.[1])];
}

/** The fields that a response lacks: hono drops those of the context if the handler returns a `new Response(…)`. */
function missingFields({ status, headers }: HonoResponse, limits: readonly HeaderEntry[]): readonly HeaderEntry[] {
  // Hono copies a response to set fields, and that of an upgraded connection or a network error cannot be copied.
  return status < 200 ? [] : missingHeaders(limits, [], (name) => headers.get(name));
}

export type { HttpOptions } from "../options.js";
export { clientKey } from "../client-ip.js";
