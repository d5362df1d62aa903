import { isPromiseLike } from "../../core/callbacks.js";
import type { Decision } from "../../core/decision.js";
import { responseOf } from "./fetch-response.js";
import type { FetchRequest } from "../fetch-request.js";
import { identityOf } from "../fetch-request.js";
import type { HeaderEntry } from "../headers.js";
import { appendHeader, missingHeaders } from "../headers.js";
import type { HttpOptions } from "../options.js";
import { PROBLEM_TYPE } from "../outcome.js";
import { HttpRateLimiter } from "../pipeline.js";
import type { RequestAdapter } from "../request-adapter.js";
import { isPeerGone, mayPeerSendBody, outcomeReporter, peerAddress } from "../request-adapter.js";

/** What `c.get` knows behind a limit, for the type of an app: `new Hono<{ Variables: RateLimitVariables }>()`. */
export interface RateLimitVariables {
  /** The latest decision on this request; undefined where none was asked for. */
  rateLimit: Decision | undefined;
}

/** A response as far as it is looked at here. */
export interface HonoResponse {
  readonly status: number;
  readonly headers: { get(name: string): string | null };
}

/** A context of hono. */
export interface HonoContext {
  readonly req: {
    readonly method: string;
    readonly url: string;
    readonly path: string;
    readonly raw: unknown;
    header(name: string): string | undefined;
  };
  readonly env: unknown;
  res: HonoResponse;
  set(name: "rateLimit", value: Decision): void;
  header(name: string, value: string): void;
  status(code: never): void;
  body(data: string | null): HonoResponse;
}

/** A middleware of hono. */
export type HonoMiddleware<C> = (context: C, next: () => Promise<void>) => Promise<void>;

const view: RequestAdapter<HonoContext> = {
  method: ({ req }) => req.method,
  header: ({ req }, name) => req.header(name),
  address: ({ env, req }) => peerAddress(env, req.raw),
  isDisconnected: ({ env }) => isPeerGone(env),
  mayHaveUnannouncedBody: ({ env }) => mayPeerSendBody(env),
  isPlain: () => false,
  identity: ({ req }) => identityOf(req.raw as FetchRequest),
};

/**
 * Where a context keeps what guards further out have said of the limits: hono shows that to nobody before there is an answer.
 * On the context itself, because a WeakMap with an entry for each request keeps the garbage collector busy. The symbol is a
 * registered one, so that two copies of the package agree on it.
 */
const TOLD = Symbol.for("sluicegate.hono.fields");

interface Telling {
  [TOLD]?: readonly HeaderEntry[];
}

/**
 * Limits the requests that reach a point of a hono app, on whatever it runs.
 *
 * A refused request is answered with 429 and `application/problem+json`, and goes no further. The decision is
 * `c.get("rateLimit")`. Errors of your code, as a `key` that is no string, are thrown, as hono has it. What `onRefused`
 * returns is the answer.
 *
 * The client's address is known on Node (`@hono/node-server`), Bun and Deno. Elsewhere name the header that the platform
 * writes: `client: { header: "cf-connecting-ip" }`.
 *
 * @throws TypeError for an option that is unknown or of the wrong type, RangeError for one out of range.
 *
 * @example
 * app.use(rateLimit({ limiter: new AsyncRateLimiter({ maxCalls: 100, period: "1m" }) }));
 */
export function rateLimit<C extends HonoContext = HonoContext, K extends string = string>(
  options: HttpOptions<C, K>,
): HonoMiddleware<C> {
  const guard = new HttpRateLimiter(options, view);
  return async function rateLimit(context, next) {
    const passage = guard.handle(context);
    const { decision, fields, refusal, onResponse } = isPromiseLike(passage) ? await passage : passage;
    if (decision !== undefined) context.set("rateLimit", decision);
    const carrier = context as Telling;
    const before = carrier[TOLD];
    const telling = before === undefined ? fields : fields.map((field) => added(field, before));
    carrier[TOLD] = telling;
    setFields(context, telling);
    if (refusal === undefined) {
      const report = onResponse && outcomeReporter(context.env, context.req.raw, onResponse);
      await next();
      setFields(context, missingFields(context.res, telling));
      await report?.(context.res.status);
      return;
    }
    const { error, status, body } = refusal;
    setFields(context, refusal.fields);
    const answer = (): HonoResponse => {
      context.status(status as never);
      context.header("Content-Type", PROBLEM_TYPE);
      return context.body(context.req.method === "HEAD" ? null : (body ?? null));
    };
    // Without an error handler of the app's own, hono asks the error for its answer.
    if (guard.throws && error !== undefined) throw Object.assign(error(), { getResponse: answer });
    if (guard.onRefused === undefined || decision === undefined) {
      context.res = answer();
      return;
    }
    context.status(status as never);
    let response;
    try {
      response = responseOf(await guard.onRefused(context, decision));
    } catch (failure) {
      // The error handler decides on the status, as with `throw: true`: hono's default is 200.
      context.status(200 as never);
      throw failure;
    }
    // Hono overwrites fields of a new response by those of an earlier one, which a middleware may have created. So the fields
    // of this response are read before, and set after.
    const own = refusal.fields.map(([name, value]): HeaderEntry => [name, response.headers.get(name) ?? value]);
    const missing = missingFields(response, telling);
    context.res = response;
    if (response.status >= 200) setFields(context, [...missing, ...own]);
  };
}

function setFields(context: HonoContext, fields: readonly HeaderEntry[]): void {
  for (const [name, value] of fields) context.header(name, value);
}

/** A field with what guards further out have said in it. */
function added(field: HeaderEntry, before: readonly HeaderEntry[]): HeaderEntry {
  return [field[0], appendHeader(field, before.find(([name]) => name === field[0])?.[1])];
}

/** The fields that a response lacks: hono drops those of the context if the handler makes a `new Response(…)`. */
function missingFields({ status, headers }: HonoResponse, limits: readonly HeaderEntry[]): readonly HeaderEntry[] {
  // Hono copies a response to set fields, and one of an upgraded connection, or of a network error, cannot be copied.
  return status < 200 ? [] : missingHeaders(limits, [], (name) => headers.get(name));
}

export type { HttpOptions } from "../options.js";
export { clientKey } from "../client-ip.js";
