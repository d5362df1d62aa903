import { assertOneOf, memberOf, ownCopy, typeError } from "../../core/validate.js";
import { checkedHttpOptions } from "../options.js";
import type { Done, FastifyLimiter } from "./fastify-enforce.js";
import { enforce, fastifyLimiter } from "./fastify-enforce.js";
import type {
  FastifyContextConfig,
  FastifyHandlerOptions,
  FastifyOptions,
  FastifyReply,
  FastifyRequest,
  FastifyRouteOptions,
  HookName,
  RouteOptions,
} from "./fastify-types.js";

/** The members of a fastify app that the plugin uses. */
export interface FastifyLike {
  hasRequestDecorator(name: string): boolean;
  decorateRequest(name: string, value: null): unknown;
  decorate(name: string, value: unknown): unknown;
  addHook(name: HookName | "onRegister" | "onRoute", hook: (...given: never[]) => unknown): unknown;
}

/**
 * The property of an app that holds its nearest registration: the last one in the app itself, or else in the nearest enclosing
 * app that had one when the app was created. The symbol is registered, so that two copies of the package share it.
 */
const NEAREST = Symbol.for("sluicegate.fastify.nearest");

interface App extends FastifyLike {
  [NEAREST]?: Registration;
}

/** The property of the `config` of a route whose own limit is one of the route's hooks. */
const IS_ROUTE_HOOK = Symbol("sluicegate.fastify.routeHook");

/** The options of a route, as `onRoute` hooks may change them. */
type Route = { config?: FastifyContextConfig } & Partial<Record<HookName, unknown>>;

/** A hook of any phase: `preParsing` hooks get the payload before the callback. */
type Hook = (request: FastifyRequest, reply: FastifyReply, payload: unknown, done?: Done) => void;

const HOOKS: readonly HookName[] = ["onRequest", "preParsing", "preValidation", "preHandler"];

/**
 * A fastify plugin that limits the requests to the app that registers it and to the apps inside, including unknown routes.
 *
 * A request counts in every registration around its route. `config.rateLimit` of a route, or of a not-found handler, overrides
 * the options of the nearest registration, unless `replaces` says otherwise; `false` switches off all registrations.
 * `app.rateLimit(options)` creates a hook for one handler, which counts in addition. A refused request gets a response of status
 * 429 and `application/problem+json`, by default before its body is read. The decision is `request.rateLimit`. Errors of your
 * code, such as an invalid `key`, go to the error handler of fastify.
 *
 * @throws TypeError for an option that is unknown or of the wrong type, RangeError for one out of range. For options
 *   of the plugin, `register` rejects. For options of a route, adding the route throws. For a not-found handler, or a route that
 *   is added before the plugin is loaded, each request fails.
 *
 * @example
 * await app.register(rateLimit, { limiter: new AsyncRateLimiter({ maxCalls: 100, period: "1m" }) });
 * app.post("/login", { config: { rateLimit: { limiter: logins } } }, login);
 * app.post("/invite", { preHandler: [authenticate, app.rateLimit({ limiter: invitations, key: userOf })] }, invite);
 * app.setNotFoundHandler({ preHandler: app.rateLimit({ limiter: misses }) }, notFound);
 */
export async function rateLimit(app: FastifyLike, options: FastifyOptions): Promise<void> {
  const { hook = "onRequest" } = ownCopy(options);
  assertOneOf("hook", hook, HOOKS);
  // Fastify passes the options of `register` itself to the plugin as well.
  const registration = new Registration(without(options, ["prefix", "logLevel", "logSerializers", "hook"]), hook);
  const markNearest = (marked: App): void => void (marked[NEAREST] = registration);

  if (!app.hasRequestDecorator("rateLimit")) app.decorateRequest("rateLimit", null);
  if ((app as App)[NEAREST] === undefined) {
    app.decorate("rateLimit", function (this: Required<App>, own?: FastifyHandlerOptions) {
      return this[NEAREST].hook(own);
    });
  }
  markNearest(app);
  // Runs for the same apps and in the same order as the hook of the limit: an app inherits both when it is created.
  app.addHook("onRegister", markNearest);

  // Fastify does not call this hook for a not-found handler, or for a route that was added before the hook.
  app.addHook("onRoute", function (this: App, route: Route) {
    if (this[NEAREST] === registration) registration.prepare(route);
  });

  app.addHook(hook, function rateLimit(request, reply, payload, done = payload as Done) {
    registration.enforce(request, reply, done);
  } satisfies Hook);
}

// Fastify does not encapsulate a plugin with `skip-override`: the plugin acts on the app that registers it.
Object.assign(rateLimit, {
  [Symbol.for("skip-override")]: true,
  [Symbol.for("fastify.display-name")]: "sluicegate",
});

/** A route's own limit. */
interface RouteLimit {
  readonly limiter: FastifyLimiter;
  /** The phase of the route's own hook; undefined if the limit runs in the hook of the registration. */
  readonly hook: HookName | undefined;
  readonly replaces: "nearest" | "all" | "none";
}

/** A registration of the plugin, with the limits of its routes. */
class Registration {
  readonly #options: FastifyHandlerOptions;
  readonly #limiter: FastifyLimiter | undefined;
  readonly #routeLimits = new WeakMap<object, RouteLimit>();
  /** The requests that the limiter has counted; undefined while its hook runs once for each request. */
  #counted: WeakSet<FastifyRequest> | undefined;

  constructor(options: FastifyHandlerOptions, hook: HookName) {
    this.#options = options;
    this.#limiter = limiterFrom(options);
    // `reply.callNotFound` runs the hooks of this phase again.
    this.#counted = hook === "preHandler" ? new WeakSet() : undefined;
  }

  /** Checks the own limit of a route, and makes it a hook of the route if it has a phase of its own. */
  prepare(route: Route): void {
    const own = routeOptionsIn(route.config);
    if (own === undefined || own === false) return;
    const { limiter, hook } = this.#routeLimit(own);
    if (hook === undefined) return;
    route[hook] = [memberOf(route, hook) ?? [], hookOf(limiter)].flat();
    route.config = Object.assign({}, route.config, { [IS_ROUTE_HOOK]: true });
  }

  /** Enforces the limits of this registration on a request, and the route's own limit if it belongs to this registration. */
  enforce(request: FastifyRequest, reply: FastifyReply, done: Done): void {
    const { config } = request.routeOptions;
    const own = routeOptionsIn(config);
    if (own === undefined) return this.#count(request, reply, done);
    if (own === false) return done();
    if ((request.server as unknown as App)[NEAREST] !== this) {
      return memberOf(own, "replaces") === "all" ? done() : this.#count(request, reply, done);
    }
    const { limiter, hook, replaces } = this.#routeLimit(own);
    if (hook !== undefined && !(IS_ROUTE_HOOK in config)) {
      const rule =
        "absent in a not-found handler, and in a route that is added before the plugin is loaded; `app.rateLimit(…)` creates a hook for these";
      throw typeError("config.rateLimit.hook", rule, hook);
    }
    const next = hook === undefined ? (): void => enforce(limiter, request, reply, done) : done;
    if (replaces !== "none") return next();
    this.#count(request, reply, (error) => (error === undefined ? next() : done(error)));
  }

  /**
   * Returns a hook that enforces a limit of its own, or without options the limit of this registration.
   *
   * @throws TypeError or RangeError for invalid options.
   */
  hook(own: FastifyHandlerOptions | undefined): Hook {
    if (own !== undefined) return hookOf(this.#limiterOf(assertOptions("options", own), "limiter"));
    if (this.#limiter === undefined) throw missingLimiter("limiter", own);
    this.#counted ??= new WeakSet();
    return (request, reply, payload, done = payload as Done) => this.#count(request, reply, done);
  }

  /** Enforces the limiter of this registration once for each request. */
  #count(request: FastifyRequest, reply: FastifyReply, done: Done): void {
    if (this.#limiter === undefined || this.#counted?.has(request) === true) return done();
    this.#counted?.add(request);
    enforce(this.#limiter, request, reply, done);
  }

  #routeLimit(own: FastifyRouteOptions): RouteLimit {
    const known = this.#routeLimits.get(own);
    if (known !== undefined) return known;
    const {
      hook,
      replaces = "nearest",
      limiter,
      limiters,
    } = ownCopy(assertOptions("config.rateLimit", own, ", or false"));
    if (hook !== undefined) assertOneOf("config.rateLimit.hook", hook, HOOKS);
    assertOneOf("config.rateLimit.replaces", replaces, ["nearest", "all", "none"]);
    if (replaces === "none" && limiter === undefined && limiters === undefined) {
      throw typeError("config.rateLimit.limiter", 'a limiter, because `replaces` is "none"', limiter);
    }
    const options = without(own, ["hook", "replaces"]);
    const created = { limiter: this.#limiterOf(options, "config.rateLimit.limiter"), hook, replaces };
    this.#routeLimits.set(own, created);
    return created;
  }

  #limiterOf(own: FastifyHandlerOptions, name: string): FastifyLimiter {
    const created = limiterFrom(mergeRouteOptions(this.#options, own));
    if (created === undefined) throw missingLimiter(name, undefined);
    return created;
  }
}

function assertOptions<T>(name: string, value: T, others: string = ""): T {
  if (typeof value !== "object" || value === null) throw typeError(name, `an object of options${others}`, value);
  return value;
}

function missingLimiter(name: string, value: unknown): TypeError {
  return typeError(name, "a limiter, because the plugin has none", value);
}

function hookOf(limiter: FastifyLimiter): Hook {
  return (request, reply, payload, done = payload as Done) => enforce(limiter, request, reply, done);
}

/** The options of a route, ignoring `Object.prototype`: a `rateLimit` of `false` there would switch off every limit. */
function routeOptionsIn(config: FastifyContextConfig | undefined): FastifyContextConfig["rateLimit"] {
  return memberOf(config, "rateLimit") as FastifyContextConfig["rateLimit"];
}

/** Creates the limiter for these options; undefined if they have none, because only the routes do. */
function limiterFrom(options: FastifyHandlerOptions): FastifyLimiter | undefined {
  // Before the limiter is missed: options of another package have none, and the error must name them.
  checkedHttpOptions(options);
  return options.limiter === undefined && options.limiters === undefined ? undefined : fastifyLimiter(options);
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

export type { HttpOptions } from "../options.js";
export { clientKey } from "../client-ip.js";
export type {
  FastifyHandlerOptions,
  FastifyLimitHook,
  FastifyOptions,
  FastifyRouteOptions,
  HookName,
  RouteOptions,
} from "./fastify-types.js";
