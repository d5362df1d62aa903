import { createServer } from "node:http";
import type { Request as ExpressRequest } from "express";
import express from "express";
import { AsyncRateLimiter } from "sluicegate";
import { rateLimit } from "sluicegate/express";
import type { ClientKeyOptions, RequestView } from "sluicegate/http";
import { HttpRateLimiter } from "sluicegate/http";
import { ManualClock } from "sluicegate/testing";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { AnyOptions, Got, Handler, Rig, Sent, Served } from "../support/http/rig.js";
import { send, served } from "../support/http/rig.js";
import { onConnect } from "../support/http/rigs/connect.js";
import { onExpress } from "../support/http/rigs/express.js";
import { onFastify } from "../support/http/rigs/fastify.js";
import { onFetch } from "../support/http/rigs/fetch.js";
import { onHono } from "../support/http/rigs/hono.js";
import { onKoa } from "../support/http/rigs/koa.js";
import { onNode } from "../support/http/rigs/node.js";
import { plainView } from "../support/http/view.js";

const RIGS: readonly (readonly [name: string, rig: Rig])[] = [
  ["express", onExpress],
  ["connect", onConnect],
  ["node:http", onNode],
  ["fastify", onFastify],
  ["koa", onKoa],
  ["hono", onHono],
  ["fetch", onFetch],
];

const { issued } = vi.hoisted(() => ({ issued: [] as string[] }));

// Every call, because a process issues each warning once.
vi.mock(import("../../src/core/callbacks.js"), async (original) => ({
  ...(await original()),
  warnOnce: (code, message, detail) => {
    issued.push(code);
    expect(`${message} ${detail}`).toMatch(/Apply |Set |Make |Send .*`warnings: false` switches this warning off\.$/s);
    expect(`${message} ${detail}`).not.toMatch(/ada|127\.0\.0\.1|203\.0\.113/);
  },
}));

const TWICE = "SLUICEGATE_COUNTED_TWICE";
const FORWARDED = "SLUICEGATE_FORWARDED_NOT_TRUSTED";
const NO_RESPONSE = "SLUICEGATE_NO_RESPONSE";
const PER_REQUEST = "SLUICEGATE_LIMITER_PER_REQUEST";

const hello: Handler = () => ({ status: 200, body: "hello" });
const many = { maxCalls: 1000, period: "1m" } as const;
const limiterOf = (options: object = {}): AsyncRateLimiter => new AsyncRateLimiter({ ...many, ...options });

const running: Served[] = [];

beforeEach(() => void issued.splice(0));
afterEach(async () => {
  for (const app of running.splice(0)) await app.close();
});

const PROTOCOLS = ["HTTP/1.1", "HTTP/2"] as const;

describe.each(
  RIGS.flatMap(([name, rig]) =>
    PROTOCOLS.filter((protocol) => name !== "express" || protocol === "HTTP/1.1").map((protocol) => ({
      name,
      protocol,
      rig,
    })),
  ),
)("on $name, over $protocol", ({ protocol, rig }) => {
  const request = (port: number, sent?: Sent): Promise<Got> => send(port, sent, protocol);
  const serve = async (...limits: AnyOptions[]): Promise<number> => {
    const app = await rig.serve(limits, hello, protocol);
    running.push(app);
    return app.port;
  };
  const header = (request: unknown, field: string): string => rig.header(request as never, field) ?? "none";

  describe("a request that one limiter counts twice", () => {
    const key = (): string => "ada";

    it("causes a warning", async () => {
      const limiter = limiterOf();
      const port = await serve({ limiter, key }, { limiter: limiterOf(), key }, { limiter, key });
      await request(port);
      expect(issued).toEqual([TWICE]);
    });

    it("causes a warning if it is one of several limiters", async () => {
      const limiter = limiterOf();
      const port = await serve({ limiters: { a: { limiter, key } } }, { limiter: async () => limiter, key });
      await request(port);
      expect(issued).toEqual([TWICE]);
    });

    it.each<[string, (limiter: AsyncRateLimiter) => AnyOptions[]]>([
      ["by two keys", (limiter) => [{ limiter }, { limiter, key }]],
      [
        "for a key of null",
        (limiter) => [
          { limiter, key },
          { limiter, key: () => null },
        ],
      ],
      [
        "where the second is skipped",
        (limiter) => [
          { limiter, key },
          { limiter, key, skip: () => true },
        ],
      ],
      [
        "at another cost",
        (limiter) => [
          { limiter, key },
          { limiter, key, cost: 4 },
        ],
      ],
      [
        "by another limiter",
        (limiter) => [
          { limiter, key },
          { limiter: limiterOf(), key },
        ],
      ],
      [
        "where the options switch it off",
        (limiter) => [
          { limiter, key },
          { limiter, key, warnings: false },
        ],
      ],
    ])("is not warned of %s", async (_, limits) => {
      const port = await serve(...limits(limiterOf()));
      for (let requests = 0; requests < 3; requests += 1) expect((await request(port)).status).toBe(200);
      expect(issued).toEqual([]);
    });

    it("causes no warning if the limiter switches it off", async () => {
      const limiter = limiterOf({ warnings: false });
      await request(await serve({ limiter, key }, { limiter, key }));
      expect(issued).toEqual([]);
    });
  });

  describe("X-Forwarded-For of a request from an internal address", () => {
    const forwarded = { headers: { "x-forwarded-for": "203.0.113.7" } };

    it("causes a warning if no proxy option is set", async () => {
      await request(await serve({ limiter: limiterOf() }), forwarded);
      expect(issued).toEqual([FORWARDED]);
    });

    it.each<[string, Omit<AnyOptions, "limiter">]>([
      ["it is trusted", { client: { trustProxy: 1 } }],
      ["it is not trusted, as the options say", { client: { trustProxy: false } }],
      ["another header is", { client: { header: "x-ip" } }],
      ["the key is another", { key: () => "ada" }],
      ["warnings are switched off", { warnings: false }],
    ])("is not warned of where %s", async (_, options) => {
      await request(await serve({ limiter: limiterOf(), ...options } as AnyOptions), forwarded);
      expect(issued).toEqual([]);
    });
  });

  describe("a function that finds a limiter", () => {
    const times = async (port: number, requests: number, headers: object = {}): Promise<void> => {
      for (let sent = 0; sent < requests; sent += 1) {
        await request(port, { headers: { "x-key": "ada", ...headers } });
      }
    };

    it("causes a warning if it makes one for each of three equal requests", async () => {
      const port = await serve({ limiter: () => limiterOf() });
      await times(port, 2);
      expect(issued).toEqual([]);
      await times(port, 1);
      expect(issued).toEqual([PER_REQUEST]);
    });

    it("causes no warning if it makes one for each tenant, and keeps it", async () => {
      const tenants = new Map<string, AsyncRateLimiter>();
      const port = await serve({
        limiter: (request: unknown) => {
          const tenant = header(request, "x-tenant");
          const limiter = tenants.get(tenant) ?? limiterOf();
          tenants.set(tenant, limiter);
          return limiter;
        },
        key: () => "ada",
      });
      for (let tenant = 0; tenant < 30; tenant += 1) await times(port, 1, { "x-tenant": String(tenant) });
      for (let tenant = 0; tenant < 30; tenant += 1) await times(port, 2, { "x-tenant": String(tenant) });
      expect(tenants.size).toBe(30);
      expect(issued).toEqual([]);
    });

    it("causes no warning if other code replaces the limiter that it returns", async () => {
      let current = limiterOf();
      const port = await serve({ limiter: () => current });
      for (let requests = 0; requests < 5; requests += 1) {
        await times(port, 1);
        current = limiterOf();
      }
      expect(issued).toEqual([]);
    });

    it("causes no warning if warnings are switched off, by its options or by the limiters", async () => {
      await times(await serve({ limiter: () => limiterOf(), warnings: false }), 4);
      await times(await serve({ limiter: () => limiterOf({ warnings: false }) }), 4);
      expect(issued).toEqual([]);
    });
  });
});

describe.each(
  (["express", "connect", "node:http", "fastify"] as const).map((name) => ({
    name,
    rig: new Map(RIGS).get(name) as Rig,
  })),
)("an onRefused on $name", ({ rig }) => {
  const respond = (request: unknown, rest: readonly unknown[]): unknown =>
    rig.respond(request as never, "refused", rest as never[]);

  it.each<[boolean, string, AnyOptions["onRefused"], AnyOptions["warnings"]]>([
    [true, "ends without a response", () => undefined, undefined],
    [false, "ends without a response, with warnings off", () => undefined, false],
    [
      false,
      "responds a moment after it has ended",
      (request, _, ...rest) => void setTimeout(respond, 40, request, rest),
      true,
    ],
  ])("causes a warning when the client gives up: %s, if it %s", async (isExpected, _, onRefused, warnings) => {
    const app = await rig.serve([{ limiter: limiterOf({ maxCalls: 0 }), onRefused, warnings }], hello, "HTTP/1.1");
    running.push(app);
    const givingUp = new AbortController();
    const sent = send(app.port, { signal: givingUp.signal }).catch(() => undefined);
    await new Promise((resolve) => setTimeout(resolve, 80));
    const start = performance.now();
    vi.spyOn(performance, "now").mockReturnValue(start + 2000);
    givingUp.abort();
    await sent;
    if (isExpected) await vi.waitFor(() => expect(issued).toEqual([NO_RESPONSE]));
    else await new Promise((resolve) => setTimeout(resolve, 20));
    expect(issued).toEqual(isExpected ? [NO_RESPONSE] : []);
  });
});

describe("on express", () => {
  const listen = async (app: express.Express): Promise<number> => {
    const server = await served(createServer(app));
    running.push(server);
    return server.port;
  };

  it("warns of a middleware that is on a router and on its route", async () => {
    const limit = rateLimit({ limiter: limiterOf() });
    const app = express();
    const router = express.Router();
    router.get("/orders", limit, (_request, response) => void response.send("ok"));
    app.use(limit);
    app.use("/api", router);
    await send(await listen(app), { path: "/api/orders" });
    expect(issued).toEqual([TWICE]);
  });

  it("does not warn of a request that is rewritten and dispatched again", async () => {
    const app = express();
    app.use(rateLimit({ limiter: limiterOf() }));
    app.get("/old", (request, response) => {
      request.url = "/new";
      app(request, response);
    });
    app.get("/new", (_request, response) => void response.send("new"));
    expect((await send(await listen(app), { path: "/old" })).body).toBe("new");
    expect(issued).toEqual([]);
  });

  it("warns of a middleware with a limiter that is made for each request", async () => {
    const app = express();
    app.use((request, response, next) => rateLimit({ limiter: limiterOf() })(request, response, next));
    app.get("/", (_request, response) => void response.send("ok"));
    const port = await listen(app);
    for (let requests = 0; requests < 3; requests += 1) await send(port);
    expect(issued).toEqual([PER_REQUEST]);
  });

  it("does not warn of middlewares that are made for each request with a limiter that is not", async () => {
    const limiter = limiterOf();
    const app = express();
    app.use((request, response, next) => rateLimit({ limiter })(request, response, next));
    app.get("/", (_request, response) => void response.send("ok"));
    const port = await listen(app);
    for (let requests = 0; requests < 5; requests += 1) await send(port);
    expect(issued).toEqual([]);
  });

  it("does not warn of a middleware for each tenant that is made at its first request", async () => {
    const tenants = new Map<string, ReturnType<typeof rateLimit>>();
    const app = express();
    app.use((request: ExpressRequest, response, next) => {
      const tenant = request.get("x-tenant") ?? "";
      const limit = tenants.get(tenant) ?? rateLimit({ limiter: limiterOf(), key: () => "ada" });
      tenants.set(tenant, limit);
      limit(request, response, next);
    });
    app.get("/", (_request, response) => void response.send("ok"));
    const port = await listen(app);
    for (let request = 0; request < 60; request += 1) {
      await send(port, { headers: { "x-tenant": String(request % 30) } });
    }
    expect(issued).toEqual([]);
  });
});

describe("a suite of tests", () => {
  const view: RequestView<{ url: string }> = { ...plainView, identity: ({ url }) => url };

  it("may make a limiter and a middleware for each of hundreds of equal requests", async () => {
    for (let test = 0; test < 500; test += 1) {
      const guard = new HttpRateLimiter({ limiter: new AsyncRateLimiter({ ...many, clock: new ManualClock() }) }, view);
      await guard.handle({ url: "/" });
      const app = await onNode.serve([{ limiter: limiterOf() }], hello, "HTTP/1.1");
      if (test < 5) await send(app.port, { headers: { host: "localhost" } });
      await app.close();
    }
    expect(issued).toEqual([]);
  });
});

describe("a request object that takes no properties, or is used again and again", () => {
  it("is counted like any other", async () => {
    const again = {};
    const frozen = Object.freeze({});
    const closed = new Proxy({}, { set: () => false, defineProperty: () => false });
    for (const request of [again, frozen, closed]) {
      const guard = new HttpRateLimiter({ limiter: limiterOf() }, plainView);
      for (let requests = 0; requests < 100; requests += 1) {
        expect((await guard.handle(request)).decision?.remaining).toBe(999 - requests);
      }
    }
    const [latest] = Object.getOwnPropertySymbols(again).map(
      (symbol) => Reflect.get(again, symbol) as { callsBefore: number },
    );
    expect(latest?.callsBefore).toBeLessThan(16);
  });
});

describe("the address that a request comes from", () => {
  const admit = async (address: string | undefined, client?: ClientKeyOptions): Promise<string[]> => {
    const view: RequestView<object> = {
      ...plainView,
      header: (_, name) => (name === "x-forwarded-for" ? "203.0.113.7" : undefined),
      address: () => address,
    };
    vi.stubEnv("TESTING", "1");
    await new HttpRateLimiter({ limiter: limiterOf(), client }, view).handle({});
    return issued;
  };

  it.each([
    ...["127.0.0.1", "::1", "::ffff:127.0.0.1", "10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.1.1"],
    ...["169.254.1.1", "100.64.0.1", "fd00::1", "fe80::1%eth0"],
  ])("of %s is internal: a proxy is plausible there", async (address) => {
    expect(await admit(address)).toEqual([FORWARDED]);
  });

  it.each([
    "203.0.113.9",
    "172.32.0.1",
    "11.0.0.1",
    "100.128.0.1",
    "2001:db8::1",
    "::ffff:8.8.8.8",
    "nonsense",
    undefined,
  ])("of %s is not: whoever sends the header from there may be the client itself", async (address) => {
    expect(await admit(address)).toEqual([]);
  });
});
