import { createHash, createHmac } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { ExecutionContextHost } from "@nestjs/core/helpers/execution-context-host.js";
import * as root from "sluicegate";
import type { Decision, LimiterLike } from "sluicegate";
import * as onExpress from "sluicegate/express";
import * as onFastify from "sluicegate/fastify";
import * as onFetch from "sluicegate/fetch";
import * as onHono from "sluicegate/hono";
import * as http from "sluicegate/http";
import * as onKoa from "sluicegate/koa";
import * as onNode from "sluicegate/node";
import * as kv from "sluicegate/kv";
import * as load from "sluicegate/load";
import * as login from "sluicegate/login";
import * as nest from "sluicegate/nest";
import * as redis from "sluicegate/redis";
import * as testing from "sluicegate/testing";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { RouteLimits } from "../../src/nest/route-limits.js";
import { plainView } from "../support/http/view.js";

const { ManualClock } = testing;

/** What is exported, by the name of its entry point. */
const ENTRY_POINTS: Readonly<Record<string, object>> = {
  ".": root,
  "./express": onExpress,
  "./fastify": onFastify,
  "./fetch": onFetch,
  "./hono": onHono,
  "./http": http,
  "./koa": onKoa,
  "./node": onNode,
  "./kv": kv,
  "./load": load,
  "./login": login,
  "./nest": nest,
  "./redis": redis,
  "./testing": testing,
};

/** Uses an export as its users do, and returns what can be seen of it. It waits for nothing but promises. */
type Scenario = () => unknown;

const minute = { maxCalls: 2, period: "1m" } as const;

/** The outcome of a call, or of an attempt to make something. */
async function outcome(run: () => unknown): Promise<unknown> {
  try {
    return await run();
  } catch (error) {
    return String(error);
  }
}

/** Everything that a limiter does. */
async function exercised(limiter: root.RateLimiter): Promise<unknown> {
  const seen: unknown[] = [limiter.name, limiter.synchronous, limiter.limits];
  for (let call = 0; call < 3; call += 1) seen.push(await outcome(() => limiter.isAllowed("ada")));
  for (const options of [undefined, {}, { cost: 2 }]) {
    const decision = await outcome(() => limiter.check("ben", options));
    seen.push(decision, limiter.synchronous ? limiter.checkSync("cai", options) : undefined);
    seen.push(typeof decision === "object" ? await outcome(() => limiter.refund(decision as Decision)) : undefined);
  }
  seen.push(await outcome(() => limiter.peek("ada", {})), await outcome(() => limiter.acquire("dan")));
  seen.push(await outcome(() => limiter.acquire("ada", { timeout: "0s" })), await outcome(() => limiter.reset("ada")));
  return [seen, await outcome(() => limiter.state("ada"))];
}

const fixed = (): { clock: testing.ManualClock } => ({ clock: new ManualClock() });

/** Limiters as fakes make them, with nothing but what they must have. */
const closed = new root.AsyncRateLimiter({ maxCalls: 0, period: "1m", bypass: false, clock: new ManualClock() });
const fake: LimiterLike = { check: (key) => closed.peek(key) };

const headers = { "x-key": "ada" };
const preflight = { origin: "https://example.org", "access-control-request-method": "GET" };
const nodeRequest = (): onNode.ConnectRequest => ({
  method: "GET",
  url: "/",
  headers,
  socket: { remoteAddress: "203.0.113.7" },
});

function nodeResponse(): onNode.ConnectResponse & {
  seen: unknown[];
  listeners: (() => void)[];
  writableEnded: boolean;
} {
  const seen: unknown[] = [];
  const listeners: (() => void)[] = [];
  return {
    seen,
    listeners,
    statusCode: 200,
    headersSent: false,
    writableEnded: false,
    getHeader: () => undefined,
    setHeader: (...field) => seen.push(field),
    once: (event, listener) => {
      listeners.push(listener);
      return seen.push(event);
    },
    end: (body) => seen.push(body),
  };
}

/** The options that every adapter is tried with. */
const httpOptions = (): (() => http.HttpOptions<never, string, never>)[] => [
  () => ({ limiter: new root.AsyncRateLimiter({ maxCalls: 1, period: "1m", ...fixed() }) }),
  () => ({ limiter: () => new root.AsyncRateLimiter({ maxCalls: 0, period: "1m", ...fixed() }) }),
  () => ({ limiter: fake }),
  () => ({ limiter: new root.AsyncRateLimiter({ maxCalls: 1, period: "1m", ...fixed() }), refundWhen: () => true }),
  () => ({ limiters: { ip: { limiter: new root.AsyncRateLimiter({ maxCalls: 0, period: "1m", ...fixed() }) } } }),
  () => ({ limiter: { check: () => Promise.reject(new root.StoreError("down")) } }),
  // What is no limiter does not become one.
  () => ({ limiter: {} as never }),
];

/** Sends two requests through each of the options. */
async function served(send: (options: http.HttpOptions<never, string, never>) => () => unknown): Promise<unknown> {
  const seen: unknown[] = [];
  for (const options of httpOptions()) {
    const request = await outcome(() => send(options()));
    if (typeof request !== "function") seen.push(request);
    else for (let requests = 0; requests < 2; requests += 1) seen.push(await outcome(request as Scenario));
  }
  return seen;
}

/** A middleware of node or express in front of nothing: what it writes, or hands to `next`. */
const throughConnect =
  (rateLimit: typeof onNode.rateLimit) =>
  (options: object): Scenario => {
    const limit = rateLimit(options as never);
    return async () => {
      const seen: unknown[] = [];
      const preflights = [{}, { originalUrl: "/" }].map((own) => ({ method: "OPTIONS", headers: preflight, ...own }));
      for (const own of [{}, ...preflights]) {
        const response = nodeResponse();
        const finish = (): void => {
          for (const listener of response.listeners) listener();
        };
        await new Promise((resolve) => {
          response.end = (body) => resolve(seen.push(response.statusCode, response.seen, body));
          limit({ ...nodeRequest(), ...own }, response, (error) => {
            response.writableEnded = true;
            finish();
            resolve(seen.push(response.statusCode, response.seen, "next", String(error)));
          });
        });
      }
      return seen;
    };
  };

function throughKoa(options: object): Scenario {
  const limit = onKoa.rateLimit(options as never);
  return async () => {
    const { seen, ...response } = nodeResponse();
    const context = {
      ...{ method: "GET", url: "/", path: "/", ip: "", headers, headerSent: false, status: 200, body: "" as unknown },
      socket: { remoteAddress: "203.0.113.7" },
      res: response,
      response: { get: () => "" },
      state: { rateLimit: undefined },
      get: () => "",
      set: (...field: string[]) => seen.push(field),
    };
    await limit(context, async () => void seen.push("next"));
    return [context.status, context.body, seen];
  };
}

function throughHono(options: object): Scenario {
  const limit = onHono.rateLimit(options as never);
  return async () => {
    const seen: unknown[] = [];
    const context = {
      req: { method: "GET", url: "/", path: "/", raw: fetchRequest(), header: () => undefined },
      env: { incoming: { socket: { remoteAddress: "203.0.113.7" } } },
      res: { status: 200, headers: { get: () => "" } } as unknown,
      set: (...given: unknown[]) => seen.push(given),
      header: (...field: unknown[]) => seen.push(field),
      status: (code: number) => seen.push(code),
      body: (text: unknown) => ({ status: 200, headers: { get: () => "" }, text }),
    };
    await limit(context as never, async () => void seen.push("next"));
    return [context.res, seen];
  };
}

function throughFastify(options: object): Scenario {
  type Hook = (this: unknown, ...given: unknown[]) => unknown;
  const hooks: Record<string, Hook> = {};
  const app = {
    hasRequestDecorator: () => true,
    decorateRequest: () => undefined,
    addHook: (name: string, hook: Hook) => (hooks[name] = hook),
  };
  const loaded = onFastify.rateLimit(app as never, options as never);
  return async () => {
    await loaded;
    const seen: unknown[] = [];
    const plain: { config?: object } = { config: {} };
    const own = { config: { rateLimit: { cost: 2 } } };
    hooks["onRoute"]?.call(app, plain);
    hooks["onRoute"]?.call(app, {});
    hooks["onRoute"]?.call(app, own);
    for (const { config } of [plain, own]) {
      const request = { ...nodeRequest(), routeOptions: { config }, server: app, rateLimit: null };
      const reply = {
        ...{ sent: false, raw: nodeResponse(), getHeader: () => undefined },
        header: (...field: unknown[]) => seen.push(field.map(String)),
        code: (code: number) => seen.push(code),
      };
      await new Promise((resolve) => {
        const send = (body: unknown): void => resolve(seen.push(String(body)));
        hooks["onRequest"]?.call(app, request, { ...reply, send }, (error: unknown) =>
          resolve(seen.push(String(error))),
        );
      });
    }
    return seen;
  };
}

/** A request and answers of the Fetch standard. Those of Node cannot be made while some of their own options are polluted. */
const fetchRequest = (): object => ({
  method: "GET",
  url: "https://example.org/",
  headers: new Map([["x-key", "203.0.113.7"]]),
});

class FakeResponse {
  readonly status: number;
  readonly body: unknown;
  readonly headers: Map<string, unknown>;

  constructor(body: unknown, { status, headers }: { status: number; headers: object }) {
    this.body = body;
    this.status = status;
    this.headers = new Map(headers instanceof Map ? (headers as Map<string, unknown>) : Object.entries(headers));
  }
}

function throughFetch(limited: (handler: () => unknown) => (request: unknown) => unknown): Scenario {
  return async () => {
    const seen: unknown[] = [];
    for (const handler of [() => new FakeResponse("hello", { status: 200, headers: {} }), () => undefined]) {
      const answer = (await limited(handler)(fetchRequest())) as FakeResponse | undefined;
      seen.push(answer?.status, answer?.body, answer && [...answer.headers]);
    }
    return seen;
  };
}

/** A call of a method in Nest. */
function nestContext(type: string, args: unknown[], owner: new () => object = Date): ExecutionContextHost {
  const context = new ExecutionContextHost(args, owner, () => undefined);
  context.setType(type);
  return context;
}

function throughNest(options: object): Scenario {
  const guard = new nest.RateLimitGuard(new RouteLimits(options));
  return async () => {
    const response = nodeResponse();
    const result = await outcome(() => guard.canActivate(nestContext("http", [{ ...nodeRequest() }, response])));
    return [result, response.seen];
  };
}

const inFetch = (options: object): object => ({ ...options, client: { header: "x-key" } });

/** A client that is offline. One for each use: limiters of one client and name share what stands in for Redis. */
const redisOptions = (): redis.RedisStoreOptions => ({
  client: () => Promise.reject(new Error("offline")),
  onStoreError: () => undefined,
});

/** A use of every export. */
const SCENARIOS: Readonly<Record<string, Readonly<Record<string, Scenario>>>> = {
  ".": {
    AsyncRateLimiter: () => exercised(new root.AsyncRateLimiter({ ...minute, ...fixed() })),
    AdaptiveRateLimiter: async () => {
      const source = { factor: 0.5, intervalMs: 25, listen: () => () => undefined, report: () => undefined };
      const own = new root.AdaptiveRateLimiter({ baseMaxCalls: 4, period: "1m", ...fixed() });
      own.adjustForLoad(0.5, 0.95);
      return [
        await exercised(own),
        await exercised(new root.AdaptiveRateLimiter({ baseMaxCalls: 4, period: "1m", load: source, ...fixed() })),
        await outcome(() => new root.AdaptiveRateLimiter({ baseMaxCalls: 4, period: "1m", load: {} as never })),
      ];
    },
    DOSProtectionLimiter: async () => [
      await exercised(new root.DOSProtectionLimiter(fixed())),
      await exercised(new root.DOSProtectionLimiter({ limits: [{ name: "a", ...minute }], ...fixed() })),
    ],
    LayeredRateLimiter: () =>
      exercised(new root.LayeredRateLimiter({ limits: [{ name: "a", ...minute }], ...fixed() })),
    MemoryEfficientRateLimiter: async () => {
      const limiter = new root.MemoryEfficientRateLimiter({ ...minute, maxKeys: 3, ...fixed() });
      return [await exercised(limiter), limiter.size, limiter.evictions];
    },
    TieredRateLimiter: async () => {
      const tiers = new root.TieredRateLimiter({ tiers: { free: minute }, ...fixed() });
      const seen = [
        await tiers.check("ada", "free"),
        tiers.checkSync("ada", "free", {}),
        await tiers.peek("ada", "free"),
      ];
      return [seen, await exercised(tiers.tier("free"))];
    },
    MemoryStore: async () => {
      const store = new root.MemoryStore(fixed());
      const limiter = new root.AsyncRateLimiter({ ...minute, store });
      const none = await outcome(() => new root.AsyncRateLimiter({ ...minute, store: {} as never }));
      return [await exercised(limiter), store.size, store.evictions, none];
    },
    allOf: async () => {
      const both = root.allOf({
        ip: new root.AsyncRateLimiter({ ...minute, ...fixed() }),
        user: new root.AsyncRateLimiter({ ...minute, ...fixed() }),
      });
      const seen: unknown[] = [await both.check({ ip: "a", user: null }), await both.isAllowed({ ip: "a", user: "b" })];
      seen.push(await both.check({ ip: "a", user: "b" }), await outcome(() => both.check({ ip: "a" } as never)));
      const [first, second] = [0, 1].map(() => new redis.RedisRateLimiter({ ...minute, ...redisOptions() }));
      const remote = root.allOf({ first: first!, second: second! });
      for (let calls = 0; calls < 3; calls += 1)
        seen.push(await outcome(() => remote.check({ first: "a", second: "b" })));
      return seen;
    },
    rateLimited: async () => {
      const keyOf = (who: string): string => who;
      const seen: unknown[] = [];
      for (const options of [undefined, {}, { wait: { timeout: "0s" } }, { refundWhen: () => true }] as const) {
        for (const limiter of [fake, new root.AsyncRateLimiter({ ...minute, ...fixed() })]) {
          const wrapped = (): ((who: string) => unknown) => root.rateLimited(limiter, keyOf, options)((who) => who);
          seen.push(await outcome(() => wrapped().name));
          const call = await outcome(() => wrapped());
          for (let calls = 0; calls < 3; calls += 1)
            seen.push(await outcome(() => (call as (who: string) => unknown)("ada")));
        }
      }
      const broken = { ...fake, acquire: () => Promise.reject(new Error("down")) };
      const waiting = root.rateLimited(broken, keyOf, { wait: true })((who) => who);
      const looked = root.rateLimited(() => fake, keyOf)((who) => who);
      const descriptor = root.rateLimited(fake, keyOf)({} as never, "hello", { value: async () => "hello" } as never);
      seen.push(await outcome(() => waiting("ada")), await outcome(() => looked.call(undefined, "ada")));
      return [seen, Object.keys(descriptor), Object.keys(Object.defineProperty({}, "hello", descriptor))];
    },
    RateLimitExceededError: async () => {
      const error = new root.RateLimitExceededError(await closed.peek("ada"));
      return [String(error), error.retryAfter, error.status, Object.hasOwn(error, "cause")];
    },
    LimiterClosedError: async () => {
      const limiter = new root.AsyncRateLimiter({ ...minute, name: "closed", ...fixed() });
      limiter.close();
      const error = new root.LimiterClosedError("closed");
      return [String(error), error.code, await outcome(() => limiter.check("ada"))];
    },
    StoreError: () => [String(new root.StoreError("down")), new root.StoreError("down").status],
    RATE_LIMITS: () => exercised(new root.AsyncRateLimiter({ ...root.RATE_LIMITS.login, ...fixed() })),
    USER_TIERS: () => new root.TieredRateLimiter({ tiers: root.USER_TIERS, ...fixed() }).checkSync("ada", "free"),
    testingBypass: () => root.testingBypass(),
  },
  "./express": {
    rateLimit: () => served(throughConnect(onExpress.rateLimit)),
    clientKey: () => http.clientKey(nodeRequest()),
  },
  "./node": {
    rateLimit: () => served(throughConnect(onNode.rateLimit)),
    clientKey: () => http.clientKey(nodeRequest()),
  },
  "./fastify": { rateLimit: () => served(throughFastify), clientKey: () => http.clientKey(nodeRequest()) },
  "./koa": { rateLimit: () => served(throughKoa), clientKey: () => http.clientKey(nodeRequest()) },
  "./hono": { rateLimit: () => served(throughHono), clientKey: () => http.clientKey(nodeRequest()) },
  "./fetch": {
    rateLimit: () => served((options) => throughFetch(onFetch.rateLimit(inFetch(options) as never) as never)),
    withRateLimit: () =>
      served((options) =>
        throughFetch((handler) => onFetch.withRateLimit(handler, inFetch(options) as never) as never),
      ),
    rateLimitOf: () => onFetch.rateLimitOf({} as never),
    clientKey: () => http.clientKey(nodeRequest()),
  },
  "./http": {
    HttpRateLimiter: () =>
      served((options) => {
        const guard = new http.HttpRateLimiter<object>(options as never, plainView);
        return async () => {
          const { decision, fields, rejection, onResponse } = await guard.handle({});
          return [
            decision,
            fields,
            rejection?.status,
            rejection?.body,
            rejection?.fields,
            typeof onResponse,
            guard.throws,
          ];
        };
      }),
    clientKey: () => [
      http.clientKey({ headers: { "x-forwarded-for": "198.51.100.7" }, socket: { remoteAddress: "2001:db8:1:2::3" } }),
      http.clientKey({ headers: { ...headers, "x-ip": "198.51.100.7" } }, { header: "x-ip" }),
      http.clientKey({ headers: { "x-forwarded-for": "198.51.100.7" } }, { trustProxy: 1 }),
    ],
    appendHeader: () => [
      http.appendHeader(["RateLimit", `"a"`], `"b"`),
      http.appendHeader(["RateLimit", `"a"`], undefined),
      http.appendHeader(["Access-Control-Expose-Headers", "RateLimit"], "ETag"),
    ],
  },
  "./load": {
    LoadMonitor: () => {
      const seen: unknown[] = [];
      const clock = new ManualClock();
      const pool = { name: "pool", low: 0.5, high: 1, read: () => 2 };
      const monitor = new load.LoadMonitor({ signals: [pool], clock, onSample: ({ factor }) => seen.push(factor) });
      monitor.start();
      clock.advance("2s");
      monitor.stop();
      return [seen, monitor.intervalMs, monitor.state];
    },
    cpuUsage: () => signal(load.cpuUsage()),
    eventLoopDelay: () => [
      signal(load.eventLoopDelay({ percentile: 99 })),
      signal(load.eventLoopDelay({ percentile: 100, high: 300 })),
    ],
    eventLoopUtilization: () => signal(load.eventLoopUtilization()),
    heapUsage: () => signal(load.heapUsage({ low: 0.5 })),
  },
  "./login": {
    LoginProtection: async () => {
      const seen: unknown[] = [await outcome(() => new login.LoginProtection({} as never))];
      const logins = new login.LoginProtection({ secret: "s".repeat(32), bypass: false, ...fixed() });
      const request = { account: "ada", address: "2001:db8:1:2::3" };
      const first = await logins.attempt(request);
      const [cookie = "", ...attributes] = (await first.succeeded()).split("; ");
      const known = await logins.attempt({ ...request, cookie });
      await known.failed();
      for (let guess = 0; guess < 6; guess += 1) seen.push((await logins.attempt(request)).decision);
      seen.push(attributes, first, known, await known.succeeded(), await logins.state("ada"));
      await logins.unlock("ada");
      return [seen, await logins.state("ada"), await outcome(() => logins.attempt({} as never))];
    },
    foldAccount: () => login.foldAccount(" ADA"),
  },
  "./nest": {
    RateLimitGuard: () => served(throughNest),
    RateLimitModule: async () => [
      Object.keys(nest.RateLimitModule.forRoot({ limiter: fake })),
      await outcome(() => nest.RateLimitModule.forRoot({ store: {} as never })),
    ],
    RateLimit: async () => {
      class Limited extends Date {}
      nest.RateLimit("ip", minute)(Limited);
      const limits = new RouteLimits({ limiters: { ip: { limiter: new root.AsyncRateLimiter(minute) } } });
      const guard = new nest.RateLimitGuard(limits);
      const request = { ...nodeRequest() } as nest.NestRequest;
      await guard.canActivate(nestContext("graphql", [{}, {}, { req: request }], Limited));
      return [request.rateLimit?.layers, await outcome(() => nest.RateLimit({ ...minute, maxCalls: -1 })(Limited))];
    },
    SkipRateLimit: async () => {
      class Free extends Date {}
      nest.SkipRateLimit()(Free);
      const guard = new nest.RateLimitGuard(new RouteLimits({ limiter: closed }));
      return guard.canActivate(nestContext("http", [{ ...nodeRequest() }, nodeResponse()], Free));
    },
    RateLimitException: async () => {
      const guard = new nest.RateLimitGuard(new RouteLimits({ limiter: fake }));
      const args = [{ ...nodeRequest() }, nodeResponse()];
      const exception = await guard.canActivate(nestContext("http", args)).catch((error: unknown) => error);
      const { name, message, problem } = exception as nest.RateLimitException;
      return [name, message, problem];
    },
    requestOf: () => [
      nest.requestOf(nestContext("graphql", [{}, {}, { req: { headers } }])),
      nest.requestOf(nestContext("ws", [{ handshake: { headers, address: "203.0.113.7" } }])),
      nest.requestOf(nestContext("ws", [{ _socket: { remoteAddress: "203.0.113.7" } }])),
      nest.requestOf(nestContext("rpc", [])),
    ],
    clientKey: () => http.clientKey(nodeRequest()),
  },
  "./redis": {
    RedisRateLimiter: () => exercised(new redis.RedisRateLimiter({ ...minute, ...redisOptions() })),
    RedisStore: async () => {
      const sent: string[][] = [];
      const send = (...command: string[]): Promise<unknown> => {
        sent.push(command.filter((word) => word.startsWith("rate_limit")));
        return Promise.resolve(1);
      };
      const ioredis = { call: send, defineCommand: () => undefined };
      const nodeRedis = { sendCommand: (command: string[]) => send(...command), evalSha: () => undefined };
      for (const client of [ioredis, nodeRedis]) {
        const store = new redis.RedisStore({ client });
        sent.push([String(await new root.AsyncRateLimiter({ ...minute, store }).isAllowed("ada"))]);
      }
      return [sent, await outcome(() => new redis.RedisStore({ client: {} as never }))];
    },
    hashTagged: () => redis.hashTagged("ada", "a"),
  },
  "./kv": {
    KeyValueStore: async () => {
      const store = new kv.KeyValueStore({ kv: new Map(), ...fixed() });
      const texts = new Map<string, string>();
      // Without a version, as of a store that compares texts by itself.
      const versioned = new kv.KeyValueStore({
        kv: {
          get: (key) => ({ value: texts.get(key) }),
          compareAndSet: (key, version, text) => version === undefined && texts.set(key, text).size > 0,
          delete: (key) => texts.delete(key),
        },
        ...fixed(),
      });
      return [
        store.exactAcross,
        await exercised(new root.AsyncRateLimiter({ ...minute, store })),
        versioned.exactAcross,
        await new root.AsyncRateLimiter({ ...minute, store: versioned }).check("ada", { cost: 2 }),
        await outcome(() => new kv.KeyValueStore({ kv: {} as never })),
      ];
    },
  },
  "./testing": {
    ManualClock: () => [new ManualClock().now(), new ManualClock(5).now()],
    storeContract: async () => {
      const [first] = testing.storeContract({ store: () => new root.MemoryStore() });
      return [await outcome(() => first!.run()), await outcome(() => testing.storeContract({} as never))];
    },
  },
};

/** What a signal is, but for its readings. */
function signal({ name, low, high, mayRepeat }: load.Signal): unknown {
  return [name, low, high, mayRepeat];
}

/** Every property that a declaration of the package names, which all options are, and what else it reads by name. */
function names(): string[] {
  const sources = fileURLToPath(new URL("../../src/", import.meta.url));
  const declared = readdirSync(sources, { recursive: true, encoding: "utf8" })
    .filter((path) => path.endsWith(".ts"))
    .flatMap((path) => [
      ...readFileSync(join(sources, path), "utf8").matchAll(/^ +(?:readonly )?(\w+)\?\(|^ +readonly (\w+)\??:/gm),
    ])
    .map(([, method, property]) => (method ?? property)!);
  const others = [
    "route",
    "methods",
    "raw",
    "tier",
    "judge",
    "open",
    "isCluster",
    "defineCommand",
    "call",
    "sendCommand",
    "TESTING",
    "NODE_ENV",
  ];
  return [...new Set([...declared, ...others, "kind", "get", "cause"])].sort();
}

/** What somebody may put there: by JSON, which makes no functions and no accessors, or by code. */
const POLLUTIONS: readonly Readonly<{ value: unknown; isAccessor: boolean }>[] = [
  ...["shadow", "1", true, false, 1e9, {}, () => true].map((value) => ({ value, isAccessor: false })),
  { value: () => null, isAccessor: true },
];

function pollute(name: string, { value, isAccessor }: (typeof POLLUTIONS)[number]): void {
  const data = { value, writable: true, enumerable: true, configurable: true };
  // With a setter: without one, assignments of this name would fail in everybody's code.
  const set = function (this: object, own: unknown): void {
    Object.defineProperty(this, name, bare({ ...data, value: own }));
  };
  Object.defineProperty(
    Object.prototype,
    name,
    bare(isAccessor ? { get: () => value, set, configurable: true } : data),
  );
}

/** Without a prototype, or a polluted `get` would be taken for one of its own. */
function bare(descriptor: PropertyDescriptor): PropertyDescriptor {
  return Object.assign(Object.create(null), descriptor) as PropertyDescriptor;
}

/** Web Crypto, but for its threads, which a scenario does not wait for, and without chance. */
const promptCrypto = {
  getRandomValues: (bytes: Uint8Array) => bytes,
  subtle: {
    digest: async (_: string, data: Uint8Array) => createHash("sha256").update(data).digest(),
    importKey: async (_: string, secret: Uint8Array, algorithm: { length?: unknown }) => [secret, algorithm.length],
    sign: async (_: string, key: unknown, data: Uint8Array) => signatureOf(key, data),
    verify: async (_: string, key: unknown, signature: Uint8Array, data: Uint8Array) =>
      Buffer.compare(signatureOf(key, data), signature) === 0,
  },
};

function signatureOf(key: unknown, data: Uint8Array): Buffer {
  return createHmac("sha256", JSON.stringify(key)).update(data).digest();
}

/** How many names are tried at once: only where such a pass changes something is each name tried alone. */
const NAMES_AT_ONCE = 12;

/** Runs with properties on the prototype of every object. */
async function polluted(
  names: readonly string[],
  pollution: (typeof POLLUTIONS)[number],
  run: Scenario,
): Promise<string> {
  const onResponse: unknown[] = [];
  for (const name of names) pollute(name, pollution);
  try {
    void outcome(run).then((end) => onResponse.push(end));
    // More turns than any scenario needs: no timer may run while the prototypes of the test runner are polluted.
    for (let turn = 0; turn < 1000 && onResponse.length === 0; turn += 1) await undefined;
  } finally {
    for (const name of names) Reflect.deleteProperty(Object.prototype, name);
  }
  return onResponse.length === 0 ? "it never ends" : shown(onResponse[0]);
}

/** Text that two observations share only when they are equal. */
function shown(seen: unknown): string {
  return JSON.stringify(seen, (_, value: unknown) =>
    value === undefined || value === Infinity || typeof value === "function" ? `<${typeof value}>` : value,
  );
}

describe("a polluted Object.prototype", () => {
  const emitWarning = process.emitWarning.bind(process);

  // Not by spies, which remember every call.
  beforeEach(() => {
    process.emitWarning = () => undefined;
    vi.stubGlobal("performance", { now: () => 0 });
    vi.stubGlobal("Response", FakeResponse);
    vi.stubGlobal("crypto", promptCrypto);
  });

  afterEach(() => {
    process.emitWarning = emitWarning;
    vi.unstubAllGlobals();
  });

  it("is tried on every export of every entry point", () => {
    const { exports } = JSON.parse(
      readFileSync(fileURLToPath(new URL("../../package.json", import.meta.url)), "utf8"),
    ) as { exports: object };
    const entryPoints = Object.keys(exports).filter((entry) => entry !== "./package.json");
    expect(Object.keys(ENTRY_POINTS).sort()).toEqual(entryPoints.sort());
    for (const [entry, exported] of Object.entries(ENTRY_POINTS)) {
      expect([entry, ...Object.keys(SCENARIOS[entry] ?? {}).sort()]).toEqual([entry, ...Object.keys(exported).sort()]);
    }
  });

  it("is tried with the name of every option", () => {
    expect(names()).toEqual(
      expect.arrayContaining([
        ...["mode", "bypass", "store", "clock", "name", "limits", "cost", "skip", "refundWhen", "key", "headers"],
        ...["whenDown", "timeout", "maxQueue", "signal", "trustProxy", "get", "check", "synchronous", "guardsAgainst"],
      ]),
    );
  });

  const every = names();
  const chunks = Array.from({ length: Math.ceil(every.length / NAMES_AT_ONCE) }, (_, at) =>
    every.slice(at * NAMES_AT_ONCE, (at + 1) * NAMES_AT_ONCE),
  );

  for (const [entry, scenarios] of Object.entries(SCENARIOS)) {
    it.each(Object.keys(scenarios))(`changes nothing for %s of ${entry}`, async (exported) => {
      const scenario = scenarios[exported]!;
      const clean = shown(await outcome(scenario));
      expect(shown(await outcome(scenario))).toBe(clean);
      const changed: string[] = [];
      const attempt = async (tried: readonly string[], pollution: (typeof POLLUTIONS)[number]): Promise<void> => {
        const seen = await polluted(tried, pollution, scenario);
        if (seen === clean) return;
        changed.push(`${tried.join()} = ${String(pollution.value)}: ${firstDifference(clean, seen)}`);
        if (tried.length > 1) for (const name of tried) await attempt([name], pollution);
      };
      for (const chunk of chunks) for (const pollution of POLLUTIONS) await attempt(chunk, pollution);
      expect(changed).toEqual([]);
    });
  }
});

function firstDifference(clean: string, seen: string): string {
  let at = 0;
  while (at < clean.length && clean[at] === seen[at]) at += 1;
  return `${clean.slice(Math.max(0, at - 30), at + 60)} | ${seen.slice(Math.max(0, at - 30), at + 60)}`;
}
