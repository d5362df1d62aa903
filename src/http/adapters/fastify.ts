import type { Decision } from "../../core/decision.js";
import { typeError, memberOf, ownCopy } from "../../core/validate.js";
import type { HeaderEntry } from "../headers.js";
import { EXPOSE_HEADERS } from "../headers.js";
import { warnIfUnanswered } from "../misuse.js";
import { checkedHttpOptions } from "../options.js";
import type { Outcome } from "../pipeline.js";
import { HttpRateLimiter, PROBLEM_TYPE, appendHeader, callbackError, closing, runWithCallback } from "../pipeline.js";
import type { RequestView } from "../request-view.js";
import { nodeRequestView } from "../request-view.js";
import { whenSent } from "../response-end.js";
import type {
  FastifyContextConfig,
  FastifyOptions,
  FastifyReply,
  FastifyRequest,
  RouteOptions,
} from "./fastify-types.js";

/** A global of Node that the ES2022 types omit. */
declare const TextEncoder: new () => { encode(text: string): Uint8Array };

/** The members of a fastify app that the plugin uses. */
export interface FastifyLike {
  hasRequestDecorator(name: string): boolean;
  decorateRequest(name: string, value: null): unknown;
  addHook(name: "onRegister" | "onRoute" | "onRequest", hook: (...given: never[]) => unknown): unknown;
}

type FastifyLimiter = HttpRateLimiter<FastifyRequest, readonly [reply: FastifyReply]>;

const requestView: RequestView<FastifyRequest> = {
  ...nodeRequestView,
  // A route of several methods, such as `app.all`, has an array here; a route of one method a string, a not-found handler nothing.
  isPlain: ({ routeOptions }) => {
    const methods = memberOf(routeOptions, "method");
    return Array.isArray(methods) && methods.some((method) => method !== "OPTIONS");
  },
};

/** Continues after the hook, or calls the error handler. */
type Done = (error?: Error) => void;

/**
 * The property of an app that holds its nearest registration: the last one in the app itself, or else in the nearest enclosing
 * app that had one when the app was created. The symbol is registered, so that two copies of the package share it.
 */
const NEAREST = Symbol.for("sluicegate.fastify.nearest");

interface App extends FastifyLike {
  [NEAREST]?: object;
}

/**
 * A fastify plugin that limits the requests to the app that registers it and to the apps inside, including unknown routes.
 *
 * A request counts in every registration around its route. `config.rateLimit` of a route, or of a not-found handler, overrides
 * the options of the nearest registration; `false` switches off all registrations. A refused request gets a response of status
 * 429 and `application/problem+json`, before its body is read. The decision is `request.rateLimit`. Errors of your code, such as
 * an invalid `key`, go to the error handler of fastify.
 *
 * @throws TypeError for an option that is unknown or of the wrong type, RangeError for one out of range. For options
 *   of the plugin, `register` rejects. For options of a route, adding the route throws. For a not-found handler, or a route that
 *   is added before the plugin is loaded, each request fails.
 *
 * @example
 * await app.register(rateLimit, { limiter: new AsyncRateLimiter({ maxCalls: 100, period: "1m" }) });
 * app.post("/login", { config: { rateLimit: { limiter: logins } } }, login);
 * app.setNotFoundHandler({ config: { rateLimit: { limiter: misses } } }, notFound);
 */
export async function rateLimit(app: FastifyLike, options: FastifyOptions): Promise<void> {
  const registration = {};
  const markNearest = (marked: App): void => void (marked[NEAREST] = registration);
  // Fastify passes the options of `register` itself to the plugin as well.
  const plugin = without(options, ["prefix", "logLevel", "logSerializers"]);
  const limiter = limiterFrom(plugin);
  if (!app.hasRequestDecorator("rateLimit")) app.decorateRequest("rateLimit", null);

  const limiters = new WeakMap<object, FastifyLimiter>();
  const limiterOf = (own: FastifyOptions): FastifyLimiter => {
    const known = limiters.get(own);
    if (known !== undefined) return known;
    if (typeof own !== "object" || (own as unknown) === null) {
      throw typeError("config.rateLimit", "an object of options, or false", own);
    }
    const created = limiterFrom(mergeRouteOptions(plugin, own));
    if (created === undefined) {
      throw typeError("config.rateLimit.limiter", "a limiter, because the plugin has none", undefined);
    }
    limiters.set(own, created);
    return created;
  };

  markNearest(app);
  // Runs for the same apps and in the same order as the `onRequest` hook: an app inherits both when it is created.
  app.addHook("onRegister", markNearest);

  app.addHook("onRoute", function (this: App, { config }: { config?: FastifyContextConfig }) {
    const own = routeOptionsIn(config);
    // Only reports invalid options early: fastify does not call this hook for a not-found handler, or for a route that was added
    // before the hook.
    if (own !== undefined && own !== false && this[NEAREST] === registration) limiterOf(own);
  });

  // Uses a callback, because each promise of a hook slows fastify noticeably.
  app.addHook("onRequest", function rateLimit(request: FastifyRequest, reply: FastifyReply, done: Done) {
    const own = routeOptionsIn(request.routeOptions.config);
    if (own === false) return done();
    const isOwn = own !== undefined && (request.server as App)[NEAREST] === registration;
    const applying = isOwn ? limiterOf(own) : limiter;
    if (applying === undefined) return done();
    runWithCallback(applying, request, reply.raw, (outcome) => proceed(applying, outcome, request, reply, done), done);
  });
}

// Fastify does not encapsulate a plugin with `skip-override`: the plugin acts on the app that registers it.
Object.assign(rateLimit, {
  [Symbol.for("skip-override")]: true,
  [Symbol.for("fastify.display-name")]: "sluicegate",
});

/** The options of a route, ignoring `Object.prototype`: a `rateLimit` of `false` there would switch off every limit. */
function routeOptionsIn(config: FastifyContextConfig | undefined): FastifyContextConfig["rateLimit"] {
  return memberOf(config, "rateLimit") as FastifyContextConfig["rateLimit"];
}

/** Creates the limiter for these options; undefined if they have none, because only the routes do. */
function limiterFrom(options: FastifyOptions): FastifyLimiter | undefined {
  // Before the limiter is missed: options of another package have none, and the error must name them.
  checkedHttpOptions(options);
  return options.limiter === undefined && options.limiters === undefined
    ? undefined
    : new HttpRateLimiter(options, requestView);
}

/**
 * Merges the options of a route over those of the plugin. The choice of limiters is one option: `limiter` replaces `limiters`,
 * and vice versa.
 */
function mergeRouteOptions<O extends RouteOptions<never, never>>(plugin: O, route: O): O {
  const { limiter, limiters, key, ...rest } = ownCopy(plugin);
  const own = ownCopy(route);
  const inherited = own.limiter !== undefined ? { key } : own.limiters !== undefined ? {} : { limiter, limiters, key };
  return ownCopy({ ...rest, ...inherited, ...own });
}

function without<T extends object>(options: T, names: readonly string[]): T {
  return ownCopy(Object.fromEntries(Object.entries(options).filter(([name]) => !names.includes(name))) as T);
}

function proceed(
  limiter: FastifyLimiter,
  { decision, fields, rejection, onResponse }: Outcome,
  request: FastifyRequest,
  reply: FastifyReply,
  done: Done,
): void {
  const isFirst = request.rateLimit === null;
  if (decision !== undefined) request.rateLimit = decision;
  // Other code has responded meanwhile, and the request ends there.
  if (reply.sent) return;
  setFields(reply, fields, isFirst);
  if (rejection === undefined) {
    if (onResponse !== undefined) whenSent(reply.raw, onResponse);
    return done();
  }
  setFields(reply, rejection.fields, true);
  if (limiter.throws && rejection.error !== undefined) return done(rejection.error((name) => reply.getHeader(name)));
  if (limiter.onRefused !== undefined && decision !== undefined) {
    const { raw } = reply;
    const before = raw.statusCode;
    // `reply.code` cannot be undone: fastify would prefer this status to that of a redirect or an error.
    raw.statusCode = rejection.status;
    callOnRefused(limiter.onRefused, request, decision, reply)
      .then(() => {
        if (limiter.warns && !reply.sent) warnIfUnanswered(raw);
      })
      .catch((error: unknown) => {
        if (raw.statusCode === rejection.status) raw.statusCode = before;
        done(callbackError(error));
      })
      .catch(closing(raw));
    return;
  }
  reply.code(rejection.status);
  reply.header("Content-Type", PROBLEM_TYPE);
  // Sent as bytes: fastify adds a charset to a text, and `application/problem+json` has no such parameter.
  reply.send(rejection.body === undefined ? undefined : new TextEncoder().encode(rejection.body));
}

/** Calls `onRefused`, which sends the response or returns its payload. */
async function callOnRefused(
  onRefused: NonNullable<FastifyLimiter["onRefused"]>,
  request: FastifyRequest,
  decision: Decision,
  reply: FastifyReply,
): Promise<void> {
  const payload = await onRefused(request, decision, reply);
  // As with a handler of fastify, undefined means that the callback sends the response itself, now or later.
  if (payload !== undefined && payload !== reply && !reply.sent) reply.send(payload);
}

/** @param isFirst - no other limiter has set fields, so there are none to append to but those of CORS. */
function setFields(reply: FastifyReply, fields: readonly HeaderEntry[], isFirst: boolean): void {
  for (const field of fields) {
    const isOnly = isFirst && field[0] !== EXPOSE_HEADERS;
    reply.header(field[0], isOnly ? field[1] : appendHeader(field, reply.getHeader(field[0])));
  }
}

export type { HttpOptions } from "../options.js";
export { clientKey } from "../client-ip.js";
export type { FastifyOptions, RouteOptions } from "./fastify-types.js";
