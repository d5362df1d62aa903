import type { Decision } from "../core/decision.js";
import { expected } from "../core/expected.js";
import { callbackError } from "../http/callback-error.js";
import type { Field } from "../http/field.js";
import { joined } from "../http/field.js";
import { Guard } from "../http/guard.js";
import { nodeView } from "../http/node-view.js";
import { checkedHttpOptions } from "../http/options.js";
import type { Passage } from "../http/passage.js";
import { PROBLEM_TYPE } from "../http/passage.js";
import { settle } from "../http/settle.js";
import type { FastifyOptions, FastifyReply, FastifyRequest } from "./fastify-types.js";
import { over } from "./route-options.js";

/** What Node has, and ES2022 does not name. */
declare const TextEncoder: new () => { encode(text: string): Uint8Array };

/** An app of fastify. */
export interface FastifyLike {
  hasRequestDecorator(name: string): boolean;
  decorateRequest(name: string, value: null): unknown;
  addHook(name: "onRoute" | "onRequest", hook: (...given: never[]) => unknown): unknown;
}

type FastifyGuard = Guard<FastifyRequest, readonly [reply: FastifyReply]>;

/** Goes on to what is behind the hook, or to the error handler. */
type Done = (error?: Error) => void;

/** A route's own limit, on its config: whose business it is, and the guard; undefined where it wants none. */
interface RouteGuard {
  readonly owner: object;
  readonly guard: FastifyGuard | undefined;
}

const TOO_EARLY =
  "This route has a `config.rateLimit` and was added before `rateLimit` was loaded: `await app.register(rateLimit, …)` first";

/** Fastify copies the config of a route, symbols included. */
const ROUTE_GUARD = Symbol("sluicegate route guard");

/**
 * A plugin of fastify that limits the requests of the app that registers it, and of those inside: unknown routes as well.
 *
 * A route has options of its own in `config.rateLimit`, which go over the plugin's; `false` switches them off. A refused
 * request is answered with 429 and `application/problem+json`, before its body is read. The decision is
 * `request.rateLimit`. Errors of your code, as a `key` that is no string, go to fastify's error handler.
 *
 * @throws TypeError (as a rejection of `register`, or where the route is added) for an option that is unknown or of the
 *   wrong type, RangeError for one out of range.
 *
 * @example
 * await app.register(rateLimit, { limiter: new AsyncRateLimiter({ maxCalls: 100, period: "1m" }) });
 * app.post("/login", { config: { rateLimit: { limiter: logins } } }, login);
 */
export async function rateLimit(app: FastifyLike, options: FastifyOptions): Promise<void> {
  const owner = {};
  // What `register` takes for itself, and hands over all the same.
  const plugin = without(options, ["prefix", "logLevel", "logSerializers"]);
  const guardOf = (own: FastifyOptions): FastifyGuard | undefined =>
    own.limiter === undefined && own.limiters === undefined ? undefined : new Guard(own, nodeView);
  checkedHttpOptions(plugin);
  const guard = guardOf(plugin);
  if (!app.hasRequestDecorator("rateLimit")) app.decorateRequest("rateLimit", null);

  app.addHook("onRoute", (route: { config?: object }) => {
    const own = (route.config as { rateLimit?: FastifyOptions | false } | undefined)?.rateLimit;
    if (own === undefined) return;
    if (own !== false && (typeof own !== "object" || (own as unknown) === null)) {
      throw new TypeError(expected("config.rateLimit", "an object of options, or false", own));
    }
    // Apps inside run this after those around them, so the nearest one is left the owner.
    const routeGuard = own === false ? undefined : guardOf(over(plugin, own));
    if (own !== false && routeGuard === undefined) {
      throw new TypeError(expected("config.rateLimit.limiter", "a limiter, because the plugin has none", undefined));
    }
    route.config = { ...route.config, [ROUTE_GUARD]: { owner, guard: routeGuard } };
  });

  // With a callback, because each promise of a hook is felt on a framework this fast.
  app.addHook("onRequest", function rateLimit(request: FastifyRequest, reply: FastifyReply, done: Done) {
    const config = request.routeOptions.config as { [ROUTE_GUARD]?: RouteGuard; rateLimit?: unknown };
    const own = config[ROUTE_GUARD];
    // A route that came before the plugin was loaded: its limit would be silently missing.
    if (own === undefined && config.rateLimit !== undefined) return done(new Error(TOO_EARLY));
    const asked = own?.owner === owner ? own.guard : guard;
    if (asked === undefined) return done();
    settle(asked, request, (passage) => proceed(asked, passage, request, reply, done), done);
  });
}

// Without an encapsulation of its own, as fastify has plugins say it that act on the app that registers them.
Object.assign(rateLimit, {
  [Symbol.for("skip-override")]: true,
  [Symbol.for("fastify.display-name")]: "sluicegate",
});

function without<T extends object>(options: T, names: readonly string[]): T {
  return Object.fromEntries(Object.entries(options).filter(([name]) => !names.includes(name))) as T;
}

function proceed(
  guard: FastifyGuard,
  { decision, fields, refusal, ended }: Passage,
  request: FastifyRequest,
  reply: FastifyReply,
  done: Done,
): void {
  const isFirst = request.rateLimit === null;
  if (decision !== undefined) request.rateLimit = decision;
  // Somebody else has answered meanwhile, and nothing goes on behind that.
  if (reply.sent) return;
  setFields(reply, fields, isFirst);
  if (refusal === undefined) {
    if (ended !== undefined) reply.raw.once("finish", () => void ended(reply.raw.statusCode));
    return done();
  }
  setFields(reply, refusal.fields, true);
  if (guard.throws && refusal.error !== undefined) return done(refusal.error((name) => reply.getHeader(name)));
  reply.code(refusal.status);
  if (guard.onRefused !== undefined && decision !== undefined) {
    answer(guard.onRefused, request, decision, reply).catch((error: unknown) => {
      // It is no refusal that is to be told of any more.
      reply.code(500);
      done(callbackError(error));
    });
    return;
  }
  reply.header("Content-Type", PROBLEM_TYPE);
  // As bytes: to a text fastify adds a charset, a parameter that the type does not have.
  reply.send(refusal.body === undefined ? undefined : new TextEncoder().encode(refusal.body));
}

/** Lets somebody else answer, by sending something or by returning it. */
async function answer(
  onRefused: NonNullable<FastifyGuard["onRefused"]>,
  request: FastifyRequest,
  decision: Decision,
  reply: FastifyReply,
): Promise<void> {
  const payload = await onRefused(request, decision, reply);
  // As with a handler of fastify: undefined says that it has sent the answer itself, or is going to.
  if (payload !== undefined && payload !== reply && !reply.sent) reply.send(payload);
}

/** @param isFirst - no guard has said anything before, so that there is nothing to look up and add to. */
function setFields(reply: FastifyReply, fields: readonly Field[], isFirst: boolean): void {
  for (const field of fields) {
    reply.header(field[0], isFirst ? field[1] : joined(field, reply.getHeader(field[0])));
  }
}
