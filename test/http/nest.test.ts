import type { ArgumentsHost, ExecutionContext, INestApplication, ModuleMetadata } from "@nestjs/common";
import { Catch, Controller, Get, HttpException, Injectable, Post, UseGuards } from "@nestjs/common";
import type { AbstractHttpAdapter } from "@nestjs/core";
import { ExecutionContextHost } from "@nestjs/core/helpers/execution-context-host.js";
import { APP_FILTER, APP_GUARD, BaseExceptionFilter, ExternalContextCreator } from "@nestjs/core";
import { ExpressAdapter } from "@nestjs/platform-express";
import { FastifyAdapter } from "@nestjs/platform-fastify";
import { IoAdapter } from "@nestjs/platform-socket.io";
import { WsAdapter } from "@nestjs/platform-ws";
import { SubscribeMessage, WebSocketGateway } from "@nestjs/websockets";
import { AsyncRateLimiter, MemoryStore, RateLimitExceededError, TieredRateLimiter } from "sluicegate";
import type { NestOptions, NestRequest } from "sluicegate/nest";
import {
  clientKey,
  RateLimit,
  RateLimitException,
  RateLimitGuard,
  RateLimitModule,
  requestOf,
  SkipRateLimit,
} from "sluicegate/nest";
import { ManualClock } from "sluicegate/testing";
import { connect as connectSocketIo } from "socket.io-client";
import { afterEach, describe, expect, it, vi } from "vitest";
import { WebSocket } from "ws";
import { createApp, decorateClass, decorateMethod, listen, moduleWith } from "../support/http/nest.js";
import type { Got, Sent } from "../support/http/rig.js";
import { send } from "../support/http/rig.js";
import { RouteLimits } from "../../src/nest/route-limits.js";

const clock = new ManualClock();
const of = (maxCalls: number, name?: string): AsyncRateLimiter =>
  new AsyncRateLimiter({ maxCalls, period: "1m", clock, name });

const globally = { provide: APP_GUARD, useClass: RateLimitGuard };

/** What clients without header fields receive of a refusal. */
const details = { code: "RATE_LIMIT_EXCEEDED", retryAfter: 60 };

const running: INestApplication[] = [];
async function start(metadata: ModuleMetadata, adapter?: AbstractHttpAdapter, options?: object): Promise<number> {
  const app = await createApp(metadata, adapter, options);
  running.push(app);
  return listen(app);
}

afterEach(async () => {
  for (const app of running.splice(0)) await app.close();
  clock.set(0);
});

/** A controller with a `GET` route for each method. */
function controllerWith(
  methods: Readonly<Record<string, readonly MethodDecorator[]>>,
  ...decorators: ClassDecorator[]
): new () => object {
  // eslint-disable-next-line @typescript-eslint/no-extraneous-class -- its methods are defined below
  class Shop {}
  for (const [name, own] of Object.entries(methods)) {
    Object.defineProperty(Shop.prototype, name, Object.getOwnPropertyDescriptor({ [name]: () => name }, name)!);
    decorateMethod(Shop, name, ...own, Get(name));
  }
  decorateClass(Shop, ...decorators, Controller());
  return Shop;
}

/** Serves a controller with a global guard, and returns a function that sends a `GET` to a route. */
async function serve(
  options: NestOptions,
  methods: Readonly<Record<string, readonly MethodDecorator[]>>,
  ...decorators: ClassDecorator[]
): Promise<(path: string, sent?: Sent) => Promise<Got>> {
  const port = await start({
    imports: [RateLimitModule.forRoot(options)],
    controllers: [controllerWith(methods, ...decorators)],
    providers: [globally],
  });
  return (path, sent) => send(port, { path: `/${path}`, ...sent });
}

async function statuses(get: (path: string) => Promise<Got>, ...paths: readonly string[]): Promise<number[]> {
  const seen = [];
  for (const path of paths) seen.push((await get(path)).status);
  return seen;
}

describe("RateLimitModule", () => {
  const limited = (): ModuleMetadata => ({
    imports: [RateLimitModule.forRoot({ limiter: of(1) })],
    controllers: [controllerWith({ home: [] })],
  });

  it("limits nothing without a guard", async () => {
    const port = await start(limited());
    const responses = [await send(port, { path: "/home" }), await send(port, { path: "/home" })];
    expect(responses.map(({ status }) => status)).toEqual([200, 200]);
    expect(responses[0]?.headers).not.toHaveProperty("ratelimit");
  });

  it("limits every route with the guard as APP_GUARD, and a decorated one with @UseGuards, in any module", async () => {
    const everywhere = await start({ ...limited(), providers: [globally] });
    expect([(await send(everywhere, { path: "/home" })).status, (await send(everywhere, { path: "/home" })).status]) //
      .toEqual([200, 429]);

    const feature = moduleWith({ controllers: [controllerWith({ open: [], closed: [UseGuards(RateLimitGuard)] })] });
    const port = await start({ imports: [RateLimitModule.forRoot({ limiter: of(1) }), feature] });
    const get = (path: string): Promise<Got> => send(port, { path: `/${path}` });
    expect(await statuses(get, "open", "open", "closed", "closed")).toEqual([200, 200, 200, 429]);
  });

  it("makes its options from other providers, now or later, by forRootAsync", async () => {
    class Config {
      readonly maxCalls = 1;
    }
    decorateClass(Config, Injectable());
    const config = moduleWith({ providers: [Config], exports: [Config] });
    for (const useFactory of [
      ({ maxCalls }: Config): NestOptions => ({ limiter: of(maxCalls) }),
      async ({ maxCalls }: Config): Promise<NestOptions> => Promise.resolve({ limiter: of(maxCalls) }),
    ]) {
      const port = await start({
        imports: [RateLimitModule.forRootAsync({ imports: [config], inject: [Config], useFactory })],
        controllers: [controllerWith({ home: [] })],
        providers: [globally],
      });
      expect([(await send(port, { path: "/home" })).status, (await send(port, { path: "/home" })).status]).toEqual([
        200, 429,
      ]);
    }
  });

  it("fails to start if a decorator names a limit that it does not have, wherever the decorator is", async () => {
    const limiters = { login: { limiter: of(1) } };
    for (const controller of [
      controllerWith({ home: [RateLimit("logon")] }),
      controllerWith({ home: [] }, RateLimit("logon")),
    ]) {
      const feature = moduleWith({ controllers: [controller] });
      await expect(createApp({ imports: [RateLimitModule.forRoot({ limiters }), feature] }).then((app) => app.init())) //
        .rejects.toThrow("Expected `@RateLimit` to be one of the names of `limiters` (login), got `logon` (string)");
    }
    const none = { imports: [RateLimitModule.forRoot({})], controllers: [controllerWith({ home: [RateLimit("a")] })] };
    await expect(createApp(none).then((app) => app.init())).rejects.toThrow("(there are none), got `a`");
  });

  it.each<[object, RegExp]>([
    [{ limiter: of(1), throttlers: [] }, /^Expected `throttlers` to be one of the options limiter, .*requestOf, got/],
    [{ limiter: of(1), ttl: 60 }, /^Expected `ttl` to be `period` of the `limiter`/],
    [{ limiter: of(1), default: ["a"] }, /^Expected `default` to be a list of names of `limiters`, got/],
    [{ limiters: { a: { limiter: of(1) } }, default: "a" }, /^Expected `default` to be a list of names/],
    [
      { limiters: { a: { limiter: of(1) } }, default: ["b"] },
      /^Expected `default` to be one of the names of `limiters` \(a\)/,
    ],
    [{ limiters: { a: { limiter: of(1) } }, default: ["toString"] }, /^Expected `default` to be one of the names/],
    [{ limiters: { a: {} }, default: [] }, /^Expected `limiters.a.limiter` to be a limiter/],
    [{ limiters: { a: { limiter: of(1) } }, key: () => "a" }, /^Expected `key` to be absent beside `limiters`/],
    [{ store: {} }, /^Expected `store` to be a store with an `open` function/],
    [{ limiter: of(1), requestOf: "req" }, /^Expected `requestOf` to be a function/],
    [of(1), /and not the limiter itself/],
  ])("refuses the options %j in words", (options, message) => {
    expect(() => RateLimitModule.forRoot(options as never)).toThrow(message);
  });

  it.each<[object | undefined, RegExp]>([
    [{ useClass: Object }, /^Expected `useClass` to be one of the options imports, inject, useFactory, got/],
    [{ inject: [] }, /^Expected `useFactory` to be a function, got `undefined`/],
    [undefined, /^Expected `options` to be an object with the options imports, inject, useFactory/],
  ])("refuses the options %j of forRootAsync in words", (options, message) => {
    expect(() => RateLimitModule.forRootAsync(options as never)).toThrow(message);
  });
});

describe("@RateLimit", () => {
  it("selects named limits in place of the default ones, all or nothing, with the headers of each", async () => {
    const [everything, login] = [of(3), of(1)];
    const get = await serve(
      { limiters: { everything: { limiter: everything }, login: { limiter: login } }, default: ["everything"] },
      { home: [], login: [RateLimit("everything", "login")], only: [RateLimit("login")] },
    );
    expect((await get("home")).headers["ratelimit"]).toBe(`"everything";r=2;t=60`);
    expect((await get("login")).headers["ratelimit"]).toBe(`"everything";r=1;t=60, "login";r=0;t=60`);
    const refused = await get("login");
    expect(refused.status).toBe(429);
    expect(refused.headers).toMatchObject({
      "ratelimit-policy": `"everything";q=3;w=60, "login";q=1;w=60`,
      ratelimit: `"everything";r=1;t=60, "login";r=0;t=60`,
      "retry-after": "60",
    });
    expect(JSON.parse(refused.body)).toEqual({ statusCode: 429, message: "Rate limit exceeded: retry after 60 s" });
    // The refused request counted in neither.
    expect((await everything.peek("127.0.0.1")).remaining).toBe(1);
    expect((await get("only")).headers["ratelimit"]).toBe(`"login";r=0;t=60`);
  });

  it("applies all named limits to a handler without a decorator by default", async () => {
    const get = await serve({ limiters: { a: { limiter: of(1) }, b: { limiter: of(2) } } }, { home: [] });
    expect((await get("home")).headers["ratelimit"]).toBe(`"a";r=0;t=60, "b";r=1;t=60`);
  });

  it("declares a limit of one method, with its name, beside or in place of named ones", async () => {
    const get = await serve(
      { limiters: { all: { limiter: of(9) } } },
      {
        search: [RateLimit({ maxCalls: 1, period: "1m", clock })],
        both: [RateLimit("all", { maxCalls: 5, period: "1h", clock, name: "slow" })],
        other: [RateLimit({ maxCalls: 1, period: "1m", clock })],
      },
    );
    expect((await get("search")).headers["ratelimit"]).toBe(`"Shop.search";r=0;t=60`);
    expect((await get("both")).headers["ratelimit"]).toBe(`"all";r=8;t=60, "slow";r=4;t=3600`);
    expect(await statuses(get, "search", "other", "other")).toEqual([429, 200, 429]);
    clock.advance("1m");
    expect((await get("search")).status).toBe(200);
  });

  it("of a class is shared by its methods, and replaced by that of a method", async () => {
    const get = await serve(
      {},
      {
        one: [],
        two: [],
        own: [RateLimit({ maxCalls: 1, period: "1m" })],
        free: [SkipRateLimit()],
      },
      RateLimit({ maxCalls: 2, period: "1m" }),
    );
    expect((await get("one")).headers["ratelimit"]).toMatch(/^"Shop";r=1/);
    expect(await statuses(get, "two", "one", "own", "own", "free", "free", "free")) //
      .toEqual([200, 429, 200, 429, 200, 200, 200]);
    expect((await get("free")).headers).not.toHaveProperty("ratelimit");
  });

  it("of a method replaces a @SkipRateLimit of its class", async () => {
    const methods = { free: [], own: [RateLimit({ maxCalls: 1, period: "1m" })] };
    const get = await serve({ limiter: of(0) }, methods, SkipRateLimit());
    expect(await statuses(get, "free", "own", "own")).toEqual([200, 200, 429]);
  });

  it("uses its own key, or else that of the module", async () => {
    const key = (context: ExecutionContext): string => `user:${requestOf(context)?.headers["x-user"] as string}`;
    const byTenant = (context: ExecutionContext): string | null =>
      (requestOf(context)?.headers["x-tenant"] as string | undefined) ?? null;
    const get = await serve(
      { key },
      {
        search: [RateLimit({ maxCalls: 1, period: "1m" })],
        report: [RateLimit({ maxCalls: 1, period: "1m", key: byTenant })],
      },
    );
    const as = (headers: Record<string, string>): Sent => ({ headers });
    expect((await get("search", as({ "x-user": "ada" }))).status).toBe(200);
    expect((await get("search", as({ "x-user": "ben" }))).status).toBe(200);
    expect((await get("search", as({ "x-user": "ada" }))).status).toBe(429);
    const tenant = { "x-tenant": "acme" };
    expect((await get("report", as({ ...tenant, "x-user": "ada" }))).status).toBe(200);
    expect((await get("report", as({ ...tenant, "x-user": "ben" }))).status).toBe(429);
    expect((await get("report", as({ "x-user": "ben" }))).headers).not.toHaveProperty("ratelimit");
  });

  it("keeps its limits in the store of the module, so that two applications share them", async () => {
    const controller = controllerWith({ search: [RateLimit({ maxCalls: 1, period: "1m" })] });
    const own = controllerWith({ search: [RateLimit({ maxCalls: 1, period: "1m", store: new MemoryStore() })] });
    const statusIn = async (store: MemoryStore, searched: new () => object): Promise<number> => {
      const imports = [RateLimitModule.forRoot({ store })];
      return (await send(await start({ imports, controllers: [searched], providers: [globally] }), { path: "/search" }))
        .status;
    };
    const [store, other] = [new MemoryStore({ clock }), new MemoryStore({ clock })];
    expect([await statusIn(store, controller), await statusIn(store, controller)]).toEqual([200, 429]);
    expect([await statusIn(other, controller), await statusIn(store, own)]).toEqual([200, 200]);
  });

  it("counts a call once if a global guard, one of its class and one of its method see it", async () => {
    const limit = RateLimit({ maxCalls: 2, period: "1m" });
    const shop = controllerWith({ home: [limit, UseGuards(RateLimitGuard)] }, UseGuards(RateLimitGuard));
    const imports = [RateLimitModule.forRoot({}), moduleWith({ controllers: [shop] })];
    const port = await start({ imports, providers: [globally] });
    expect((await send(port, { path: "/home" })).headers["ratelimit"]).toBe(`"Shop.home";r=1;t=60`);
    expect((await send(port, { path: "/home" })).headers["ratelimit"]).toBe(`"Shop.home";r=0;t=60`);
  });

  it.each<[string, readonly unknown[], RegExp]>([
    ["an option out of range", [{ maxCalls: -1, period: "1m" }], /^Expected `maxCalls` to be a non-negative integer/],
    ["an option of another package", [{ limit: 5, ttl: 60 }], /^Expected `limit` to be `maxCalls`/],
    ["a key that is no function", [{ maxCalls: 1, period: 1, key: "ip" }], /^Expected `key` to be a function/],
    ["no limit, which would leave the route without any", [], /^Expected `@RateLimit` to be at least one limit/],
    ["a number", [5], /^Expected `@RateLimit` to be names of limits, and objects such as/],
    [
      "the same name twice",
      ["a", "a"],
      /^Expected `@RateLimit` to be limits of different names \(set `name`\), got `a`/,
    ],
    [
      "two limits without a name",
      [
        { maxCalls: 1, period: 1 },
        { maxCalls: 2, period: 9 },
      ],
      /got `Shop.home`/,
    ],
  ])("refuses %s where it is written", (_, limits, message) => {
    expect(() => controllerWith({ home: [RateLimit(...(limits as string[]))] })).toThrow(message);
  });
});

describe.each<[string, () => AbstractHttpAdapter]>([
  ["Express", () => new ExpressAdapter()],
  ["Fastify", () => new FastifyAdapter()],
])("RateLimitGuard on %s", (_, adapter) => {
  it("takes key and tier from the context, and sets the decision on the request", async () => {
    const tiers = new TieredRateLimiter({
      tiers: { free: { maxCalls: 1, period: "1m" }, pro: { maxCalls: 2, period: "1m" } },
      clock,
    });
    const header = (context: ExecutionContext, name: string): string => String(requestOf(context)?.headers[name]);
    class Shop {
      home(): string {
        return "home";
      }
    }
    decorateMethod(Shop, "home", Post("home"));
    decorateClass(Shop, Controller());
    const seen: unknown[] = [];
    const port = await start(
      {
        imports: [
          RateLimitModule.forRoot({
            limiter: (context) => tiers.tier(header(context, "x-tier") === "pro" ? "pro" : "free"),
            key: (context) =>
              `${header(context, "x-user")} ${context.getHandler().name} ${clientKey(requestOf(context)!)}`,
            cost: (context) => (context.getClass() === Shop ? 1 : 2),
            refundWhen: (context, status) => {
              const { rateLimit } = context.switchToHttp().getRequest<NestRequest>();
              seen.push([status, rateLimit?.remaining, rateLimit?.limit.maxCalls]);
              return false;
            },
          }),
        ],
        controllers: [Shop],
        providers: [globally],
      },
      adapter(),
    );
    const as = (tier: string, user: string): Promise<Got> =>
      send(port, { method: "POST", path: "/home", headers: { "x-tier": tier, "x-user": user } });
    expect([(await as("free", "ada")).status, (await as("free", "ada")).status]).toEqual([201, 429]);
    expect([(await as("pro", "ben")).status, (await as("pro", "ben")).status]).toEqual([201, 201]);
    await vi.waitFor(() => expect(seen).toHaveLength(3));
    expect(seen).toEqual([
      [201, 0, 1],
      [201, 1, 2],
      [201, 0, 2],
    ]);
  });

  it("refuses with an HttpException that exception filters receive, with its cause and problem", async () => {
    const caught: unknown[] = [];
    class RefusalFilter extends BaseExceptionFilter {
      override catch(exception: RateLimitException, host: ArgumentsHost): void {
        caught.push(exception);
        super.catch(new HttpException({ slow: "down" }, exception.getStatus()), host);
      }
    }
    decorateClass(RefusalFilter, Catch(RateLimitException));
    const limiter = of(0);
    const port = await start(
      {
        imports: [RateLimitModule.forRoot({ limiter })],
        controllers: [controllerWith({ home: [] })],
        providers: [globally, { provide: APP_FILTER, useClass: RefusalFilter }],
      },
      adapter(),
    );
    const refused = await send(port, { path: "/home" });
    expect([refused.status, refused.body]).toEqual([429, `{"slow":"down"}`]);
    expect(refused.headers["content-type"]).toMatch(/^application\/json/);
    const [exception] = caught as [RateLimitException];
    expect(exception).toBeInstanceOf(RateLimitException);
    expect(exception).toBeInstanceOf(HttpException);
    expect(exception.name).toBe("RateLimitException");
    expect(exception.cause).toBeInstanceOf(RateLimitExceededError);
    expect(exception.extensions).toEqual({ code: "RATE_LIMIT_EXCEEDED" });
    expect(JSON.parse(exception.problem ?? "")).toMatchObject({ status: 429, "violated-policies": ["0-in-1m"] });
  });

  it("throws the exception that onRefused returns, and fails if it returns none", async () => {
    const statusOf = async (onRefused: NestOptions["onRefused"]): Promise<Got> => {
      const port = await start(
        {
          imports: [RateLimitModule.forRoot({ limiter: of(0), onRefused })],
          controllers: [controllerWith({ home: [] })],
          providers: [globally],
        },
        adapter(),
      );
      return send(port, { path: "/home" });
    };
    const own = await statusOf((context, { retryAfterMs }) => {
      return new HttpException({ error: context.getHandler().name, wait: retryAfterMs }, 420);
    });
    expect([own.status, own.body]).toEqual([420, `{"error":"home","wait":null}`]);
    expect(own.headers["ratelimit-policy"]).toBe(`"0-in-1m";q=0;w=60`);
    expect((await statusOf(async () => Promise.resolve(new HttpException("later", 421)))).status).toBe(421);
    expect((await statusOf((() => ({ error: "none" })) as never)).status).toBe(500);
  });
});

/** A resolver as @nestjs/graphql calls it: through Nest's context for external callers, with the arguments of graphql. */
async function resolverWith(options: NestOptions): Promise<(graphql: object) => Promise<unknown>> {
  class Query {
    hello(): string {
      return "hello";
    }
  }
  decorateMethod(Query, "hello", UseGuards(RateLimitGuard));
  decorateClass(Query, Injectable());
  const app = await createApp({ imports: [RateLimitModule.forRoot(options)], providers: [Query] });
  running.push(app);
  await app.init();
  const query = app.get(Query);
  const call = app
    .get(ExternalContextCreator)
    // eslint-disable-next-line @typescript-eslint/unbound-method -- called with its instance
    .create(query, query.hello, "hello", undefined, undefined, undefined, undefined, undefined, "graphql");
  return (graphql) => call({}, {}, graphql, {}) as Promise<unknown>;
}

describe("RateLimitGuard in GraphQL", () => {
  const request = (): NestRequest => ({ headers: {}, socket: { remoteAddress: "203.0.113.7" } });
  const response = (): { readonly fields: Record<string, string> } => {
    const fields: Record<string, string> = {};
    return Object.assign(
      { fields },
      {
        headersSent: false,
        getHeader: (name: string) => fields[name],
        setHeader: (name: string, value: string) => void (fields[name] = value),
      },
    );
  };

  it("counts each resolver of an operation, and shows the latest count in the headers", async () => {
    const call = await resolverWith({ limiter: of(2), exposeHeaders: true });
    const [req, res] = [request(), response()];
    res.fields["Access-Control-Expose-Headers"] = "ETag";
    expect([await call({ req, res }), await call({ req, res })]).toEqual(["hello", "hello"]);
    expect(req.rateLimit?.remaining).toBe(0);
    expect(res.fields).toEqual({
      "RateLimit-Policy": `"2-in-1m";q=2;w=60`,
      RateLimit: `"2-in-1m";r=0;t=60`,
      "Access-Control-Expose-Headers": "ETag, RateLimit-Policy, RateLimit, Retry-After",
    });
    const refusal = call({ req, res });
    await expect(refusal).rejects.toBeInstanceOf(RateLimitException);
    await expect(refusal).rejects.toMatchObject({
      message: "Rate limit exceeded: retry after 60 s",
      extensions: details,
    });
    expect(res.fields).toMatchObject({ "Retry-After": "60" });
  });

  it("finds the response in the request of Express, request and response in the reply of Mercurius, or no response", async () => {
    const call = await resolverWith({ limiter: of(2) });
    const res = response();
    expect(await call({ req: { ...request(), res } })).toBe("hello");
    expect(res.fields).toMatchObject({ RateLimit: `"2-in-1m";r=1;t=60` });
    const reply = { ...response(), setHeader: undefined, header: vi.fn(), request: request() };
    expect(await call({ reply })).toBe("hello");
    expect(reply.header).toHaveBeenCalledWith("RateLimit", `"2-in-1m";r=0;t=60`);
    await expect(call({ req: request() })).rejects.toBeInstanceOf(RateLimitException);
  });

  it("fails without a request, unless requestOf returns one", async () => {
    const call = await resolverWith({ limiter: of(1) });
    await expect(call({})).rejects.toThrow("Expected `context.req` to be the request, in the context of GraphQL (or");
    const own = await resolverWith({
      limiter: of(1),
      requestOf: (context) => context.getArgByIndex<{ socket: NestRequest }>(2).socket,
    });
    expect(await own({ socket: request() })).toBe("hello");
    await expect(own({ socket: request() })).rejects.toBeInstanceOf(RateLimitException);
  });
});

describe("RateLimitGuard in a WebSocket", () => {
  class Chat {
    say(): object {
      return { event: "said", data: "hello" };
    }
  }
  decorateMethod(Chat, "say", SubscribeMessage("say"));
  decorateClass(Chat, UseGuards(RateLimitGuard), WebSocketGateway());

  const metadata = (options: NestOptions): ModuleMetadata => ({
    imports: [RateLimitModule.forRoot(options)],
    providers: [Chat],
  });

  it("of Socket.IO counts messages by the address of the handshake, and refuses with an exception event", async () => {
    const keys: string[] = [];
    const limiter = new AsyncRateLimiter({ maxCalls: 1, period: "1m", clock, onDecision: (_, key) => keys.push(key) });
    const app = await createApp(metadata({ limiter, client: { trustProxy: 1 } }));
    running.push(app);
    app.useWebSocketAdapter(new IoAdapter(app));
    const client = connectSocketIo(`http://127.0.0.1:${await listen(app)}`, {
      extraHeaders: { "x-forwarded-for": "203.0.113.7" },
    });
    const heard: unknown[] = [];
    client.onAny((...event) => heard.push(event));
    client.emit("say");
    client.emit("say");
    await vi.waitFor(() => expect(heard).toHaveLength(2));
    client.close();
    expect(heard).toEqual([
      ["said", "hello"],
      ["exception", { status: "error", message: "Rate limit exceeded: retry after 60 s", ...details }],
    ]);
    expect(keys).toEqual(["203.0.113.7", "203.0.113.7"]);
  });

  it("of ws counts messages by the address of the socket, or by a key, and refuses with an exception event", async () => {
    for (const [options, key] of [
      [{}, "127.0.0.1"],
      [{ key: (context: ExecutionContext) => context.switchToWs().getPattern() }, "say"],
    ] as const) {
      const limiter = of(1);
      const app = await createApp(metadata({ limiter, ...options }));
      running.push(app);
      app.useWebSocketAdapter(new WsAdapter(app));
      const client = new WebSocket(`ws://127.0.0.1:${await listen(app)}`);
      const heard: string[] = [];
      client.on("message", (data: Buffer) => heard.push(data.toString()));
      await new Promise((resolve) => client.on("open", resolve));
      client.send(JSON.stringify({ event: "say" }));
      client.send(JSON.stringify({ event: "say" }));
      await vi.waitFor(() => expect(heard).toHaveLength(2));
      client.close();
      expect(JSON.parse(heard[0] ?? "")).toEqual({ event: "said", data: "hello" });
      expect(heard[1]).toContain("retry after 60 s");
      expect((await limiter.peek(key)).remaining).toBe(0);
    }
  });
});

describe("RateLimitGuard in a context of another type", () => {
  it("lets the call pass uncounted, unless requestOf returns a request", async () => {
    const job = new ExecutionContextHost([], Object, () => undefined);
    job.setType("rpc");
    const limiter = of(0);
    expect(requestOf(job)).toBeUndefined();
    expect(await new RateLimitGuard(new RouteLimits({ limiter })).canActivate(job)).toBe(true);
    const counting = new RateLimitGuard(
      new RouteLimits({ limiter, requestOf: (context) => requestOf(context) ?? { headers: {} }, key: () => "jobs" }),
    );
    await expect(counting.canActivate(job)).rejects.toBeInstanceOf(RateLimitException);
  });
});
