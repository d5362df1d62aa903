import { connect as connectTo } from "node:net";
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import {
  AdaptiveRateLimiter,
  AsyncRateLimiter,
  type Decision,
  DOSProtectionLimiter,
  LayeredRateLimiter,
  MemoryStore,
  RATE_LIMITS,
  StoreError,
  TieredRateLimiter,
  USER_TIERS,
} from "sluicegate";
import { ManualClock } from "sluicegate/testing";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { clientOf, HANG_UPS, openRequest, openSession, send as sendOver } from "../support/http/rig.js";
import type { AnyOptions, Got, Handler, Open, Rig, Sent, Served } from "../support/http/rig.js";
import { onConnect } from "../support/http/rigs/connect.js";
import { onExpress, onExpress4 } from "../support/http/rigs/express.js";
import { onFastify, onFastify4, onFastifyRoute } from "../support/http/rigs/fastify.js";
import { onFetch } from "../support/http/rigs/fetch.js";
import { onHono, onHonoWithResponses } from "../support/http/rigs/hono.js";
import { onKoa, onKoa2 } from "../support/http/rigs/koa.js";
import { onNestWithExpress, onNestWithFastify } from "../support/http/rigs/nest.js";
import { onNode } from "../support/http/rigs/node.js";

const FRAMEWORKS: readonly (readonly [name: string, rig: Rig])[] = [
  ["express 5", onExpress],
  ["express 4", onExpress4],
  ["connect", onConnect],
  ["node", onNode],
  ["fastify 5", onFastify],
  ["fastify 5, in hooks of a route", onFastifyRoute],
  ["fastify 4", onFastify4],
  ["koa 3", onKoa],
  ["koa 2", onKoa2],
  ["hono", onHono],
  ["hono, with responses that its handlers create", onHonoWithResponses],
  ["fetch", onFetch],
  ["nest on express", onNestWithExpress],
  ["nest on fastify", onNestWithFastify],
];

/**
 * The frameworks that fail over HTTP/2 without any middleware. Express replaces the prototypes of requests and responses by those
 * of node:http, and then `response.setHeader` fails; its adapter is tested by connect and node. Koa 2 never responds to HEAD.
 */
const HTTP_1_ONLY = ["express 5", "express 4", "koa 2", "nest on express"];

const RIGS = FRAMEWORKS.flatMap(([name, rig]) =>
  (["HTTP/1.1", "HTTP/2"] as const)
    .filter((protocol) => protocol === "HTTP/1.1" || !HTTP_1_ONLY.includes(name))
    .map((protocol) => ({ name, rig, protocol })),
);

const QUOTA = {
  type: "https://iana.org/assignments/http-problem-types#quota-exceeded",
  title: "Request cannot be satisfied as assigned quota has been exceeded",
  status: 429,
};

const hello: Handler = () => ({ status: 200, body: "hello" });

/** A limiter whose store has lost its connection. */
const down = {
  check: (): Promise<Decision> => Promise.reject(new StoreError("connection lost")),
};

describe.each(RIGS)("on $name over $protocol", ({ name, rig, protocol }) => {
  const running: Served[] = [];
  const serve = async (
    options: AnyOptions | readonly AnyOptions[],
    handler: Handler = hello,
    before: Readonly<Record<string, string>> = {},
  ): Promise<number> => {
    const limits: readonly AnyOptions[] = "length" in options ? options : [options];
    const app = await rig.serve(limits, handler, protocol, before);
    running.push(app);
    return app.port;
  };
  const send = (port: number, sent?: Sent): Promise<Got> => sendOver(port, sent, protocol);
  const header = (request: unknown, field: string): string | undefined => rig.header(request as never, field);
  const key = (request: unknown): string => header(request, "x-key") ?? "default";
  const as = (id: string): { headers: Record<string, string> } => ({ headers: { "x-key": id } });

  const clock = new ManualClock();
  const minute = { maxCalls: 2, period: "1m", clock } as const;

  afterEach(async () => {
    for (const app of running.splice(0)) await app.close();
    clock.set(0);
    vi.restoreAllMocks();
  });

  describe.each(["production", "development"])("under NODE_ENV=%s", (environment) => {
    it("lets a request pass with the remaining calls in headers, and refuses with a problem and the seconds to wait", async () => {
      vi.stubEnv("NODE_ENV", environment);
      const port = await serve({ limiter: new AsyncRateLimiter(minute) });
      const first = await send(port);
      expect(first).toMatchObject({ status: 200, body: "hello" });
      expect(first.headers["ratelimit-policy"]).toBe(`"2-in-1m";q=2;w=60`);
      expect(first.headers["ratelimit"]).toBe(`"2-in-1m";r=1;t=60`);
      expect(first.headers).not.toHaveProperty("retry-after");
      expect(first.headers["cache-control"]).toBeUndefined();

      clock.advance("20s");
      expect((await send(port)).headers["ratelimit"]).toBe(`"2-in-1m";r=0;t=40`);
      clock.advance("500ms");
      const refused = await send(port);
      expect(refused.status).toBe(429);
      expect(refused.headers).toMatchObject({
        "ratelimit-policy": `"2-in-1m";q=2;w=60`,
        ratelimit: `"2-in-1m";r=0;t=40`,
        "retry-after": "40",
        "cache-control": "no-store",
        "content-type": "application/problem+json",
      });
      expect(JSON.parse(refused.body)).toEqual({ ...QUOTA, "violated-policies": ["2-in-1m"] });

      clock.advance("39500ms");
      expect((await send(port)).status).toBe(200);
    });
  });

  it("passes the decision to the handler", async () => {
    const port = await serve({ limiter: new AsyncRateLimiter(minute) }, (_, decision) => ({
      status: 200,
      body: `${decision?.allowed} ${decision?.remaining}`,
    }));
    expect((await send(port)).body).toBe("true 1");
  });

  it("sends the same Content-Length for a refused HEAD as for a refused GET", async () => {
    const port = await serve({ limiter: new AsyncRateLimiter({ ...minute, maxCalls: 0 }) });
    const { headers, body } = await send(port);
    const length = (await send(port, { method: "HEAD" })).headers["content-length"];
    expect([undefined, String(body.length)]).toContain(length);
    expect(headers["content-length"] ?? length ?? String(body.length)).toBe(String(body.length));
  });

  it("responds to HEAD without a body, with the fields of GET", async () => {
    const port = await serve({ limiter: new AsyncRateLimiter(minute) });
    for (const status of [200, 200, 429]) {
      const response = await send(port, { method: "HEAD" });
      expect(response).toMatchObject({ status, body: "" });
      expect(response.headers["ratelimit-policy"]).toBe(`"2-in-1m";q=2;w=60`);
    }
  });

  it("counts each key separately, and reads no header for the client's address unless `client` is set", async () => {
    const port = await serve({ limiter: new AsyncRateLimiter({ ...minute, maxCalls: 1 }), key });
    expect((await send(port, as("ada"))).status).toBe(200);
    expect((await send(port, as("ada"))).status).toBe(429);
    expect((await send(port, as("ben"))).status).toBe(200);

    const from = (address: string): { headers: Record<string, string> } => ({
      headers: { "x-forwarded-for": address },
    });
    const direct = await serve({ limiter: new AsyncRateLimiter({ ...minute, maxCalls: 1 }) });
    expect((await send(direct, from("203.0.113.1"))).status).toBe(200);
    expect((await send(direct, from("203.0.113.2"))).status).toBe(429);

    const seen: string[] = [];
    const onDecision = (_: Decision, id: string): number => seen.push(id);
    const limiter = new AsyncRateLimiter({ ...minute, maxCalls: 1, onDecision });
    const behind = await serve({ limiter, client: { trustProxy: 1 } });
    expect((await send(behind, from("203.0.113.1"))).status).toBe(200);
    expect((await send(behind, from("203.0.113.1"))).status).toBe(429);
    expect((await send(behind, from("198.51.100.1, [2001:db8:1:2:3::4]:443"))).status).toBe(200);
    expect((await send(behind, from("x".repeat(8000)))).status).toBe(200);
    expect(seen).toEqual(["203.0.113.1", "203.0.113.1", "2001:db8:1:2::/64", "127.0.0.1"]);
  });

  it("replaces a key of more than 256 characters by its SHA-256, which differs for different keys", async () => {
    const seen: string[] = [];
    const onDecision = (_: Decision, id: string): number => seen.push(id);
    const port = await serve({ limiter: new AsyncRateLimiter({ ...minute, maxCalls: 1, onDecision }), key });
    const long = "k".repeat(5000);
    expect((await send(port, as(long))).status).toBe(200);
    expect((await send(port, as(long))).status).toBe(429);
    expect((await send(port, as(`${long}!`))).status).toBe(200);
    expect(seen.map((id) => id.length)).toEqual([71, 71, 71]);
  });

  it("counts a key that equals the digest of another key separately from that key", async () => {
    const seen: string[] = [];
    const onDecision = (_: Decision, id: string): number => seen.push(id);
    const port = await serve({ limiter: new AsyncRateLimiter({ ...minute, maxCalls: 1, onDecision }), key });
    await send(port, as("k".repeat(300)));
    const [digest] = seen as [string];
    expect((await send(port, as(digest))).status).toBe(200);
    expect((await send(port, as(seen[1]!))).status).toBe(200);
    expect((await send(port, as("k".repeat(300)))).status).toBe(429);
    expect((await send(port, as(digest))).status).toBe(429);
    expect(new Set(seen).size).toBe(3);
  });

  it("calls the limiter that a function returns, and sends its policy by name", async () => {
    const tiers = new TieredRateLimiter({ tiers: USER_TIERS, clock });
    const port = await serve({
      limiter: (request: unknown) => tiers.tier(header(request, "x-tier") === "premium" ? "premium" : "free"),
      key,
    });
    expect((await send(port, as("ada"))).headers["ratelimit-policy"]).toBe(`"default/free";q=100;w=3600`);
    const premium = await send(port, { headers: { "x-key": "ada", "x-tier": "premium" } });
    expect(premium.headers["ratelimit"]).toBe(`"default/premium";r=999;t=3600`);
  });

  it("counts in several limiters, all or nothing, and leaves out those whose key is null", async () => {
    const ip = new AsyncRateLimiter({ ...minute, maxCalls: 3 });
    const user = new LayeredRateLimiter({
      limits: [
        { name: "Burst", maxCalls: 1, period: "10s" },
        { name: "Daily", maxCalls: 5, period: "1d" },
      ],
      clock,
    });
    const port = await serve({
      limiters: {
        ip: { limiter: ip },
        user: { limiter: user, key: (request: unknown) => header(request, "x-key") ?? null },
      },
    });
    const anonymous = await send(port);
    expect(anonymous.headers["ratelimit-policy"]).toBe(`"ip";q=3;w=60`);
    const first = await send(port, as("ada"));
    expect(first.headers["ratelimit-policy"]).toBe(`"ip";q=3;w=60, "user/Burst";q=1;w=10, "user/Daily";q=5;w=86400`);
    expect(first.headers["ratelimit"]).toBe(`"ip";r=1;t=60, "user/Burst";r=0;t=10, "user/Daily";r=4;t=86400`);
    const refused = await send(port, as("ada"));
    expect(refused.status).toBe(429);
    expect(refused.headers["retry-after"]).toBe("10");
    expect(JSON.parse(refused.body)).toEqual({ ...QUOTA, "violated-policies": ["user/Burst"] });
    // The refused request was counted by neither.
    expect((await ip.peek("127.0.0.1")).remaining).toBe(1);
    expect((await send(port)).status).toBe(200);
    expect((await send(port)).status).toBe(429);
  });

  it("appends each limit on the path of a request to the lists", async () => {
    const everybody = new AsyncRateLimiter({ ...minute, name: "all", maxCalls: 9 });
    const login = new AsyncRateLimiter({ ...minute, name: "login", maxCalls: 1 });
    const port = await serve([{ limiter: everybody }, { limiter: login, key }]);
    const policies = (await send(port, as("ada"))).headers["ratelimit-policy"]?.split(", ").sort();
    expect(policies).toEqual([`"all";q=9;w=60`, `"login";q=1;w=60`]);
    const refused = await send(port, as("ada"));
    expect(refused.status).toBe(429);
    expect(refused.headers["ratelimit"]?.split(", ").sort()).toEqual([`"all";r=7;t=60`, `"login";r=0;t=60`]);
    expect(JSON.parse(refused.body)).toMatchObject({ "violated-policies": ["login"] });
  });

  it("makes the name of an unnamed limit from its numbers, so that two limits of one request have different names", async () => {
    const short = new AsyncRateLimiter({ ...minute, maxCalls: 1, period: "5s" });
    const long = new AsyncRateLimiter({ ...minute, maxCalls: 5 });
    const port = await serve([{ limiter: long }, { limiter: short }]);
    const policies = (await send(port)).headers["ratelimit-policy"]?.split(", ").sort();
    expect(policies).toEqual([`"1-in-5s";q=1;w=5`, `"5-in-1m";q=5;w=60`]);
    const refused = await send(port);
    expect(refused.headers["ratelimit"]?.split(", ").sort()).toEqual([`"1-in-5s";r=0;t=5`, `"5-in-1m";r=3;t=60`]);
    expect(JSON.parse(refused.body)).toMatchObject({ "violated-policies": ["1-in-5s"] });
  });

  it("never sends a wait that is longer than the window, rounded up to a second", async () => {
    vi.spyOn(Date, "now").mockReturnValue(1_800_000_000_000);
    clock.set(0.5);
    const limiter = new AsyncRateLimiter({ ...minute, maxCalls: 1, period: "1h" });
    const port = await serve({ limiter, headers: "both" });
    const first = await send(port);
    const refused = await send(port);
    expect([first.headers["x-ratelimit-reset"], refused.headers["x-ratelimit-reset"]]).toEqual([
      "1800003600",
      "1800003600",
    ]);
    expect(refused.headers).toMatchObject({ "retry-after": "3600", ratelimit: `"1-in-1h";r=0;t=3600` });
    // The decision stays exact: times are rounded to the safe side, which is a millisecond here.
    expect((await limiter.peek("127.0.0.1")).retryAfterMs).toBe(3_600_001);
  });

  it("lists no limit in shadow mode as violated", async () => {
    const watched = new AsyncRateLimiter({ ...minute, maxCalls: 0, mode: "shadow" });
    const login = new AsyncRateLimiter({ ...minute, maxCalls: 0 });
    const port = await serve({ limiters: { watched: { limiter: watched }, login: { limiter: login, key } } });
    expect(JSON.parse((await send(port)).body)).toMatchObject({ "violated-policies": ["login"] });
  });

  it("passes the fields of outer limits to the error handler", async () => {
    if (name === "fetch") return;
    vi.spyOn(console, "error").mockReturnValue();
    const everybody = new AsyncRateLimiter({ ...minute, name: "all", maxCalls: 9 });
    const login = new AsyncRateLimiter({ ...minute, name: "login", maxCalls: 0 });
    const port = await serve([{ limiter: everybody }, { limiter: login, throw: true }]);
    expect((await send(port)).headers["ratelimit"]).toBe(`"all";r=8;t=60, "login";r=0`);
  });

  it("uses the cost of a request, and sends no wait for a request that can never pass", async () => {
    const port = await serve({
      limiter: new AsyncRateLimiter({ ...minute, maxCalls: 5 }),
      cost: (request: unknown) => Number(header(request, "x-cost") ?? 1),
    });
    expect((await send(port, { headers: { "x-cost": "4" } })).headers["ratelimit"]).toBe(`"5-in-1m";r=1;t=60`);
    const later = await send(port, { headers: { "x-cost": "2" } });
    expect([later.status, later.headers["retry-after"], later.headers["ratelimit"]]).toEqual([
      429,
      "60",
      `"5-in-1m";r=1;t=60`,
    ]);
    const never = await send(port, { headers: { "x-cost": "6" } });
    expect(never.status).toBe(429);
    expect(never.headers).not.toHaveProperty("retry-after");
  });

  it.each<[string, (calls: number) => AnyOptions["maxCalls"]]>([
    ["a number", (calls) => calls],
    ["a function of the request", () => (request: unknown) => Number(header(request, "x-calls"))],
    ["a promise", () => async (request: unknown) => Promise.resolve(Number(header(request, "x-calls")))],
  ])("decides a request at its own maxCalls, which headers and problem show: %s", async (_, maxCalls) => {
    const limiter = new AsyncRateLimiter({ ...minute, name: "tenants" });
    const at = async (calls: number): Promise<Got> => {
      const port = await serve({ limiter, key: () => "acme", maxCalls: maxCalls(calls) } as AnyOptions);
      return send(port, { headers: { "x-calls": String(calls) } });
    };
    for (const remaining of [3, 2, 1]) {
      const { status, headers } = await at(4);
      expect([status, headers["ratelimit-policy"], headers["ratelimit"]]).toEqual([
        200,
        `"tenants";q=4;w=60`,
        `"tenants";r=${remaining};t=60`,
      ]);
    }
    clock.advance("20s");
    const refused = await at(3);
    expect(refused).toMatchObject({
      status: 429,
      headers: { "ratelimit-policy": `"tenants";q=3;w=60`, "retry-after": "40" },
    });
    expect(JSON.parse(refused.body)).toEqual({ ...QUOTA, "violated-policies": ["tenants"] });
    expect((await at(4)).headers["ratelimit"]).toBe(`"tenants";r=0;t=40`);
    // The limits of the limiter stay, and are lower than what is used.
    const port = await serve({ limiter, key: () => "acme", headers: "both" });
    expect((await send(port)).headers).toMatchObject({
      "ratelimit-policy": `"tenants";q=2;w=60`,
      "x-ratelimit-limit": "2",
    });
  });

  it("decides each of several limiters at its own maxCalls, by name where it has several limits", async () => {
    const ip = new AsyncRateLimiter(minute);
    const limits = [
      { name: "Burst", maxCalls: 1, period: "1s" },
      { name: "Daily", maxCalls: 9, period: "1d" },
    ] as const;
    const store = new MemoryStore({ clock });
    const user = new LayeredRateLimiter({ limits, store, name: "user" });
    let calls = 0;
    const maxCalls = async (request: unknown): Promise<{ Burst: number }> => {
      calls += 1;
      return Promise.resolve({ Burst: Number(header(request, "x-calls")) });
    };
    const userKey = (request: unknown): string | null => header(request, "x-key") ?? null;
    const port = await serve({
      limiters: { ip: { limiter: ip, maxCalls: 3 }, user: { limiter: user, key: userKey, maxCalls } },
    });
    const got = await send(port, { headers: { "x-key": "ada", "x-calls": "2" } });
    expect(got.headers["ratelimit-policy"]).toBe(`"ip";q=3;w=60, "user/Burst";q=2;w=1, "user/Daily";q=9;w=86400`);
    expect(got.headers["ratelimit"]).toBe(`"ip";r=2;t=60, "user/Burst";r=1;t=1, "user/Daily";r=8;t=86400`);
    const refused = await send(port, { headers: { "x-key": "ada", "x-calls": "1" } });
    expect(refused).toMatchObject({ status: 429, body: expect.stringContaining(`["user/Burst"]`) as string });
    expect((await send(port)).headers["ratelimit"]).toBe(`"ip";r=1;t=60`);
    // Not for the request without a key.
    expect(calls).toBe(2);
  });

  it("passes a request uncounted if skip returns true", async () => {
    const limiter = new AsyncRateLimiter({ ...minute, maxCalls: 1 });
    const port = await serve({ limiter, skip: (request: unknown) => header(request, "x-key") === "health" });
    for (let requests = 0; requests < 2; requests += 1) {
      const skipped = await send(port, as("health"));
      expect(skipped.status).toBe(200);
      expect(skipped.headers).not.toHaveProperty("ratelimit");
    }
    expect((await send(port)).status).toBe(200);
    expect((await send(port)).status).toBe(429);
  });

  it("does not count preflights by default, unless the handler gets requests of every method", async () => {
    const preflight = {
      method: "OPTIONS",
      headers: { origin: "https://example.org", "access-control-request-method": "GET" },
    };
    const statuses = async (countPreflights: boolean | undefined): Promise<number[]> => {
      const port = await serve({ limiter: new AsyncRateLimiter({ ...minute, maxCalls: 1 }), countPreflights });
      return [(await send(port, preflight)).status, (await send(port, preflight)).status];
    };
    expect(await statuses(undefined)).toEqual(rig.isPlain ? [200, 429] : [200, 200]);
    expect(await statuses(false)).toEqual([200, 200]);
    expect(await statuses(true)).toEqual([200, 429]);
  });

  it("does not count a preflight to which a proxy has added a Content-Length of 0", async () => {
    const limiter = new AsyncRateLimiter({ ...minute, maxCalls: 1 });
    const port = await serve({ limiter, countPreflights: false });
    const preflight = { origin: "https://example.org", "access-control-request-method": "GET" };
    const headers = { ...preflight, "content-length": "0" };
    for (let requests = 0; requests < 2; requests += 1) {
      expect((await send(port, { method: "OPTIONS", headers })).headers).not.toHaveProperty("ratelimit");
    }
  });

  it("counts an OPTIONS request that no browser sends as a preflight", async () => {
    const preflight = { origin: "https://example.org", "access-control-request-method": "POST" };
    const noPreflights: readonly Sent[] = [
      {},
      { headers: { origin: "https://example.org" } },
      { headers: { ...preflight, "access-control-request-method": "" } },
      { headers: { ...preflight, cookie: "session=1" } },
      { headers: { ...preflight, authorization: "Bearer 1" } },
      // Over HTTP/2 no header announces this body.
      { headers: preflight, body: "text" },
    ];
    for (const sent of noPreflights) {
      const limiter = new AsyncRateLimiter({ ...minute, maxCalls: 1 });
      const port = await serve({ limiter, countPreflights: false });
      expect((await send(port, { method: "OPTIONS", ...sent })).headers["ratelimit"]).toBe(`"1-in-1m";r=0;t=60`);
    }
  });

  it.each([
    ["a boolean", (isRefunded: boolean) => isRefunded],
    ["a promise", async (isRefunded: boolean) => (await sleep(5), isRefunded)],
  ])("refunds by the status: only failed logins are counted, if refundWhen returns %s", async (_, result) => {
    const limiter = new AsyncRateLimiter(minute);
    const statuses: number[] = [];
    const refundWhen = (_: unknown, status: number): boolean | Promise<boolean> => {
      statuses.push(status);
      return result(status < 400);
    };
    const port = await serve({ limiter, key, refundWhen }, (path) => {
      if (path.startsWith("/broken")) throw new Error("no database");
      return path.startsWith("/right") ? { status: 200, body: "in" } : { status: 401, body: "wrong" };
    });
    vi.spyOn(console, "error").mockReturnValue();
    const log = async (path: string): Promise<number> => (await send(port, { path, ...as("ada") })).status;
    for (let times = 0; times < 4; times += 1) {
      expect(await log("/right")).toBe(200);
      await vi.waitFor(async () => expect((await limiter.peek("ada")).remaining).toBe(2));
    }
    expect([await log("/wrong"), await log("/broken"), await log("/right")]).toEqual([401, 500, 429]);
    // A refused request recorded nothing, so refundWhen is not called for it.
    await vi.waitFor(() => expect(statuses).toEqual([200, 200, 200, 200, 401, 500]));
  });

  it("delays no response by a refundWhen that is pending, and keeps a request counted if it rejects", async () => {
    const warned = vi.spyOn(process, "emitWarning").mockReturnValue();
    const limiter = new AsyncRateLimiter({ ...minute, maxCalls: 5 });
    let fail = (): void => undefined;
    const refundWhen = vi.fn(
      () => new Promise<boolean>((_, reject) => (fail = () => reject(new Error("no database")))),
    );
    const port = await serve({ limiter, key, refundWhen });
    expect((await send(port)).status).toBe(200);
    await vi.waitFor(() => expect(refundWhen).toHaveBeenCalledOnce());
    fail();
    await vi.waitFor(() => expect(warned).toHaveBeenCalledOnce());
    expect(warned).toHaveBeenCalledWith(
      "A refund failed; the request stays counted",
      expect.objectContaining({ code: "SLUICEGATE_REFUND_FAILED" }),
    );
    expect((await limiter.peek("default")).remaining).toBe(4);
  });

  describe("with wait", () => {
    /** Resolves with a label, the response of a request, or "waiting" while there is none. */
    const now = async (response: Promise<Got>): Promise<Got | "waiting"> =>
      Promise.race([response, sleep(30).then(() => "waiting" as const)]);

    /** Returns a function that counts the calls that wait in a limiter. */
    const waitersOf = (limiter: AsyncRateLimiter): (() => number) => {
      const { mock } = vi.spyOn(limiter, "acquire");
      return () => mock.settledResults.filter(({ type }) => type === "incomplete").length;
    };

    it("delays requests in place of refusing them, first in, first out", async () => {
      const order: string[] = [];
      const port = await serve({ limiter: new AsyncRateLimiter(minute), wait: { timeout: "5m" } }, (path) => {
        order.push(path);
        return { status: 200, body: "hello" };
      });
      const client = clientOf(protocol, port, 5);
      const responses: Promise<Got>[] = [];
      for (const path of ["/1", "/2", "/3", "/4"]) {
        responses.push(client.send({ path }));
        await now(responses.at(-1)!);
      }
      expect(await now(responses[2]!)).toBe("waiting");
      clock.advance("1m");
      // The clock rounds times to the safe side.
      clock.advance("1ms");
      const got = await Promise.all(responses);
      expect(got.map(({ status }) => status)).toEqual([200, 200, 200, 200]);
      expect(got[3]?.headers).toMatchObject({ ratelimit: `"2-in-1m";r=0;t=60` });
      expect(order).toEqual(["/1", "/2", "/3", "/4"]);
      client.close();
    });

    it.each<[string, AnyOptions["wait"]]>([
      ["the wait would be longer than timeout", { timeout: "59s" }],
      ["the queue is full", { timeout: "5m", maxQueue: 0 }],
    ])("refuses as without it, at once, if %s", async (_, wait) => {
      const port = await serve({ limiter: new AsyncRateLimiter({ ...minute, maxCalls: 1 }), wait });
      expect((await send(port)).status).toBe(200);
      const refused = await send(port);
      expect(refused).toMatchObject({
        status: 429,
        headers: { ratelimit: `"1-in-1m";r=0;t=60`, "retry-after": "60", "cache-control": "no-store" },
      });
      expect(JSON.parse(refused.body)).toEqual({ ...QUOTA, "violated-policies": ["1-in-1m"] });
    });

    it("uses the cost and the maxCalls of a request", async () => {
      const port = await serve({
        limiter: new AsyncRateLimiter({ ...minute, maxCalls: 1 }),
        wait: { timeout: "5m" },
        maxCalls: 4,
        cost: () => 2,
      });
      expect((await send(port)).headers["ratelimit"]).toBe(`"4-in-1m";r=2;t=60`);
      expect((await send(port)).headers["ratelimit"]).toBe(`"4-in-1m";r=0;t=60`);
    });

    it("frees the place of a request whose client hangs up, and does not count it", async () => {
      const handled = vi.fn(hello);
      const limiter = new AsyncRateLimiter({ ...minute, maxCalls: 1 });
      const waiting = waitersOf(limiter);
      const port = await serve({ limiter, key, wait: { timeout: "5m", maxQueue: 1 } }, handled);
      const failed = vi.spyOn(console, "error").mockReturnValue();
      const client = clientOf(protocol, port, 100);
      const ways = Object.entries(HANG_UPS[protocol]);
      const next: Promise<Got>[] = [];
      for (const [way, hangUp] of ways) {
        expect((await send(port, as(way))).status).toBe(200);
        const open = await openRequest(protocol, port, as(way));
        await vi.waitFor(() => expect(waiting()).toBe(next.length + 1));
        expect((await send(port, as(way))).status).toBe(429);
        hangUp(open);
        await vi.waitFor(() => expect(waiting()).toBe(next.length));
        next.push(client.send(as(way)));
        await vi.waitFor(() => expect(waiting()).toBe(next.length));
      }
      handled.mockClear();
      clock.advance("61s");
      for (const response of next) expect((await response).status).toBe(200);
      expect(handled).toHaveBeenCalledTimes(ways.length);
      expect(failed).not.toHaveBeenCalled();
      client.close();
    });

    it.runIf(protocol === "HTTP/1.1")(
      "frees the place of a request that is pipelined behind a pending one whose client hangs up",
      async () => {
        const handled = vi.fn((path: string) =>
          path === "/slow" ? new Promise<never>(() => undefined) : { status: 200, body: "hello" },
        );
        const limiter = new AsyncRateLimiter({ ...minute, maxCalls: 1 });
        const waiting = waitersOf(limiter);
        const port = await serve({ limiter, key, wait: { timeout: "5m", maxQueue: 1 } }, handled);
        const { socket } = await openRequest(protocol, port, { path: "/slow", headers: { "x-key": "ada" } });
        await vi.waitFor(() => expect(handled).toHaveBeenCalledOnce());
        socket.write("GET /pipelined HTTP/1.1\r\nHost: localhost\r\nX-Key: ada\r\n\r\n");
        await vi.waitFor(() => expect(waiting()).toBe(1));
        expect((await send(port, as("ada"))).status).toBe(429);
        socket.destroy();
        await vi.waitFor(() => expect(waiting()).toBe(0));
        const client = clientOf(protocol, port, 100);
        const next = client.send(as("ada"));
        await vi.waitFor(() => expect(waiting()).toBe(1));
        clock.advance("61s");
        expect((await next).status).toBe(200);
        expect(handled).not.toHaveBeenCalledWith("/pipelined", expect.anything());
        client.close();
      },
    );

    it("responds with 503 when the store fails", async () => {
      const acquire = (): Promise<Decision> => Promise.reject(new StoreError("connection lost"));
      const port = await serve({ limiter: { ...down, acquire }, key, wait: {} });
      expect((await send(port)).status).toBe(503);
    });

    it("passes a failed wait to the error handler if throw is true", async () => {
      vi.spyOn(console, "error").mockReturnValue();
      const port = await serve({ limiter: new AsyncRateLimiter({ ...minute, maxCalls: 0 }), throw: true, wait: {} });
      expect((await send(port)).status).toBe(429);
    });

    it("is refused at registration for a limiter that cannot wait, for several, and for wrong options", async () => {
      const limiter = new AsyncRateLimiter(minute);
      for (const [options, error] of [
        [
          { limiter: down, wait: {} },
          /^Expected `limiter` to be a limiter with a `acquire` function, which `wait` needs/,
        ],
        [{ limiters: { ip: { limiter } }, wait: {} }, /^Expected `wait` to be absent beside `limiters`/],
        [{ limiter, wait: true }, /^Expected `wait` to be an object with the options timeout, maxQueue/],
        [{ limiter, wait: { timeout: 5 } }, /^Expected `timeout`/],
        [{ limiter, delayMs: 5 }, /^Expected `delayMs` to be `wait`, or /],
      ] as const) {
        await expect((async () => serve(options as never))()).rejects.toThrow(error);
      }
    });
  });

  it("responds with 503 when the store fails, and never with 429, or lets the request pass if whenDown allows it", async () => {
    const heard: unknown[] = [];
    const onStoreError = (error: unknown): never => {
      heard.push(error);
      throw new Error("the metric failed as well");
    };
    const warned = vi.spyOn(process, "emitWarning").mockReturnValue();
    const denying = await send(await serve({ limiter: down, key, onStoreError }));
    expect(denying.status).toBe(503);
    expect(denying.headers).toMatchObject({ "cache-control": "no-store", "content-type": "application/problem+json" });
    expect(denying.headers).not.toHaveProperty("ratelimit");
    expect(denying.headers).not.toHaveProperty("retry-after");
    expect(JSON.parse(denying.body)).toEqual({ type: "about:blank", title: "Service Unavailable", status: 503 });
    expect(heard).toEqual([expect.objectContaining({ code: "STORE_ERROR" })]);
    expect(warned).toHaveBeenCalledOnce();

    expect(await send(await serve({ limiter: down, key, whenDown: "allow" }))).toMatchObject({
      status: 200,
      body: "hello",
    });
    const whenDown = (_: unknown, request: unknown): "allow" | "deny" =>
      header(request, "x-key") === "login" ? "deny" : "allow";
    const choosing = await serve({ limiter: down, key, whenDown });
    expect((await send(choosing, as("login"))).status).toBe(503);
    expect((await send(choosing, as("search"))).status).toBe(200);
  });

  it("never lets a request pass after a TypeError of the limiter, because a failing store throws a StoreError", async () => {
    vi.spyOn(console, "error").mockReturnValue();
    const check = (): Promise<Decision> => Promise.reject(new TypeError("fetch failed"));
    const port = await serve({ limiter: { check }, key, whenDown: "allow" });
    expect((await send(port)).status).toBe(500);
  });

  it("never lets a request pass after an error of a callback", async () => {
    vi.spyOn(console, "error").mockReturnValue();
    let handled = 0;

    const failing = (reason: unknown) => (): Promise<never> => Promise.reject(reason);
    const counted: Handler = () => ({ status: 200, body: String((handled += 1)) });
    const limiter = new AsyncRateLimiter(minute);
    for (const wrong of [
      { limiter, key: () => undefined as never },
      { limiter, key: () => Promise.reject(new Error("no session store")) },
      { limiter, cost: () => 0.5 },
      { limiter, skip: () => "no" as never },
      { limiter: () => ({}) as never },
      { limiter: down, whenDown: () => "maybe" as never },
      // What no framework takes for an error.
      { limiter, key: failing(undefined) },
      { limiter, cost: failing("") },
      { limiter, skip: failing(null) },
      { limiter, skip: failing(undefined) },
      { limiter: new AsyncRateLimiter({ ...minute, maxCalls: 0 }), onRefused: failing(undefined) },
      // What was lost, and not left out.
      { limiter, cost: () => undefined as never },
      { limiter, cost: async () => undefined as never },
      { limiter, maxCalls: () => undefined as never },
      { limiter, maxCalls: async () => undefined as never },
      { limiter, maxCalls: () => 1.5 },
      { limiter, maxCalls: () => ({ Burst: 1 }) },
      { limiter, maxCalls: failing(undefined) },
      { limiters: { ip: { limiter, maxCalls: failing("") } } },
      // The lookup of the limiter is pending when the key fails: its rejection must not be unhandled.
      { limiter: () => Promise.reject(new Error("no tiers")), key: () => (null as unknown as { id: string }).id },
      { limiter: async () => limiter, key: () => Promise.reject(new Error("no session")) },
      {
        limiter: new AsyncRateLimiter({
          ...minute,
          bypass: () => {
            throw new Error("no list");
          },
        }),
      },
    ]) {
      expect((await send(await serve({ ...wrong, whenDown: wrong.whenDown ?? "allow" }, counted))).status).toBe(500);
    }
    const closed = new AsyncRateLimiter(minute);
    const port = await serve({ limiter: closed, whenDown: "allow" }, counted);
    closed.close();
    // By frameworks that read a status from an error it is 503.
    expect((await send(port)).status).toBeGreaterThanOrEqual(500);
    expect(handled).toBe(0);
  });

  it.each(["at once", "later"])("responds with 500 if the limiter decides %s and the handler throws", async (when) => {
    vi.spyOn(console, "error").mockReturnValue();
    const memory = new AsyncRateLimiter(minute);
    const later = { check: async (id: string): Promise<Decision> => (await sleep(1), memory.check(id)) };
    const rejections: unknown[] = [];
    const onRejection = (error: unknown): number => rejections.push(error);
    process.on("unhandledRejection", onRejection);
    const port = await serve({ limiter: when === "later" ? later : memory }, () => {
      throw new Error("no database");
    });
    expect((await send(port)).status).toBe(500);
    await sleep(5);
    process.off("unhandledRejection", onRejection);
    expect(rejections).toEqual([]);
  });

  it("responds with 503 if load has reduced the limit, and with a problem of abnormal usage for a guard", async () => {
    const adaptive = new AdaptiveRateLimiter({ baseMaxCalls: 2, period: "1m", clock });
    adaptive.adjustForLoad(1, 1);
    const busy = await serve({ limiter: adaptive });
    expect((await send(busy)).headers["ratelimit-policy"]).toBe(`"2-in-1m";q=2;w=60`);
    const reduced = await send(busy);
    expect(reduced.status).toBe(503);
    expect(JSON.parse(reduced.body)).toEqual({
      type: "https://iana.org/assignments/http-problem-types#temporary-reduced-capacity",
      title: "Request cannot be satisfied due to temporary server capacity constraints",
      status: 503,
      "violated-policies": ["2-in-1m"],
    });

    const dos = new DOSProtectionLimiter({ clock });
    for (let calls = 0; calls < 10; calls += 1) await dos.check("127.0.0.1");
    const abused = await send(await serve({ limiter: dos }));
    expect(abused.status).toBe(429);
    expect(JSON.parse(abused.body)).toEqual({
      type: "https://iana.org/assignments/http-problem-types#abnormal-usage-detected",
      title: "Request not satisfied due to detection of abnormal request pattern",
      status: 429,
      "violated-policies": ["Burst"],
    });
    expect(abused.headers["ratelimit-policy"]).toBe(`"Burst";q=10;w=60, "Hourly";q=500;w=3600, "Daily";q=5000;w=86400`);
  });

  it("sends the fields of each format, both formats or none, by the options of headers", async () => {
    vi.spyOn(Date, "now").mockReturnValue(1_800_000_000_500);
    const fields = async (options: Omit<AnyOptions, "limiter" | "limiters">): Promise<object> => {
      const limiter = new AsyncRateLimiter(minute);
      const got = await send(await serve({ limiter, key: () => "foo", ...options }));
      return Object.fromEntries(Object.entries(got.headers).filter(([field]) => field.includes("ratelimit")));
    };
    const legacy = {
      "x-ratelimit-limit": "2",
      "x-ratelimit-remaining": "1",
      "x-ratelimit-reset": "1800000061",
    };
    const draft11 = { "ratelimit-policy": `"2-in-1m";q=2;w=60`, ratelimit: `"2-in-1m";r=1;t=60` };
    const draft6 = {
      "ratelimit-policy": "2;w=60",
      "ratelimit-limit": "2",
      "ratelimit-remaining": "1",
      "ratelimit-reset": "60",
    };
    expect(await fields({ headers: "draft-11" })).toEqual(draft11);
    expect(await fields({ headers: "draft-11", partitionKey: true })).toEqual({
      "ratelimit-policy": `"2-in-1m";q=2;w=60;pk=:MmMyNmI0NmI2OGZm:`,
      ratelimit: `"2-in-1m";r=1;t=60;pk=:MmMyNmI0NmI2OGZm:`,
    });
    expect(await fields({ headers: "draft-8", partitionKey: true })).toEqual({
      "ratelimit-policy": `"2-in-1m"; q=2; w=60; pk=:MmMyNmI0NmI2OGZm:`,
      ratelimit: `"2-in-1m"; r=1; t=60`,
    });
    expect(await fields({ headers: "draft-7" })).toEqual({
      "ratelimit-policy": "2;w=60",
      ratelimit: "limit=2, remaining=1, reset=60",
    });
    expect(await fields({ headers: "draft-6" })).toEqual(draft6);
    expect(await fields({ headers: "draft-6", resetFormat: "epoch" })).toEqual({
      ...draft6,
      "ratelimit-reset": "1800000061",
    });
    expect(await fields({ headers: "legacy" })).toEqual(legacy);
    expect(await fields({ headers: "legacy", resetFormat: "seconds" })).toEqual({
      ...legacy,
      "x-ratelimit-reset": "60",
    });
    expect(await fields({ headers: "both" })).toEqual({ ...legacy, ...draft11 });
    expect(await fields({ headers: false })).toEqual({});
  });

  it("sends the values of one of the limits on the path in a format of one limit", async () => {
    const outer = { limiter: new AsyncRateLimiter({ ...minute, maxCalls: 9 }), headers: "draft-7" } as const;
    const inner = { limiter: new AsyncRateLimiter(minute), headers: "draft-7" } as const;
    const { headers } = await send(await serve([outer, inner]));
    // Hono and fetch set the fields when the handler has responded, so those of the outer limit come last.
    const [limit, remaining] = name === "fetch" || name.startsWith("hono") ? [9, 8] : [2, 1];
    expect(headers).toMatchObject({
      "ratelimit-policy": `${limit};w=60`,
      ratelimit: `limit=${limit}, remaining=${remaining}, reset=60`,
    });
  });

  it("exposes its fields to scripts of other origins, beside those that are exposed already", async () => {
    const limiter = new AsyncRateLimiter({ ...minute, maxCalls: 1 });
    const own = "RateLimit-Policy, RateLimit, Retry-After";
    const exposed = async (port: number): Promise<readonly unknown[]> => {
      const { status, headers } = await send(port);
      return [status, headers["access-control-expose-headers"]];
    };
    const alone = await serve({ limiter, exposeHeaders: true });
    expect(await exposed(alone)).toEqual([200, own]);
    expect(await exposed(alone)).toEqual([429, own]);
    expect(await exposed(await serve({ limiter }))).toEqual([429, undefined]);

    await limiter.reset();
    const before = { "Access-Control-Expose-Headers": "ETag, ratelimit" };
    const together = "ETag, ratelimit, RateLimit-Policy, Retry-After";
    const limits = [
      { limiter: new AsyncRateLimiter({ ...minute, maxCalls: 9 }), exposeHeaders: true },
      { limiter, exposeHeaders: true },
    ];
    const behindCors = await serve(limits, hello, before);
    expect(await exposed(behindCors)).toEqual([200, together]);
    // On fetch, no middleware has set fields on the response to a refusal.
    expect(await exposed(behindCors)).toEqual([429, name === "fetch" ? own : together]);
    const legacy = await serve({ limiter: new AsyncRateLimiter(minute), headers: "legacy", exposeHeaders: true });
    expect(await exposed(legacy)).toEqual([
      200,
      "X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset, Retry-After",
    ]);
  });

  it("lets onRefused respond, and override the standard status and fields", async () => {
    const onRefused = (request: unknown, decision: Decision, ...rest: unknown[]): unknown =>
      rig.respond(request as never, `wait ${decision.retryAfterMs} ms`, rest as never[]);
    const port = await serve({ limiter: new AsyncRateLimiter({ ...minute, maxCalls: 0 }), onRefused });
    const refused = await send(port);
    expect(refused).toMatchObject({ status: 429, body: "wait Infinity ms" });
    expect(refused.headers).toMatchObject({ "cache-control": "no-store", ratelimit: `"0-in-1m";r=0` });
    expect(refused.headers["content-type"]).not.toBe("application/problem+json");
  });

  it("leaves the status to the framework's error handler when onRefused throws, now or later", async () => {
    vi.spyOn(console, "error").mockReturnValue();
    const error = Object.assign(new Error("no coffee"), { status: 418 });
    const limiter = new AsyncRateLimiter({ ...minute, maxCalls: 0 });
    for (const onRefused of [
      () => {
        throw error;
      },
      () => Promise.reject(error),
    ]) {
      // Hono's error handler responds with 500 to every error that has no `getResponse`, and Nest's to all but its own exceptions.
      expect((await send(await serve({ limiter, onRefused }))).status).toBe(/^(hono|nest)/.test(name) ? 500 : 418);
    }
  });

  it("passes refusals and failures of the store to the framework's error handler if throw is true", async () => {
    vi.spyOn(console, "error").mockReturnValue();
    const limiter = new AsyncRateLimiter({ ...minute, maxCalls: 1 });
    const port = await serve({ limiter, throw: true });
    expect((await send(port)).status).toBe(200);
    const refused = await send(port);
    expect(refused.status).toBe(429);
    expect(refused.headers).toMatchObject({ "retry-after": "60", ratelimit: `"1-in-1m";r=0;t=60` });
    expect((await send(await serve({ limiter: down, key, throw: true }))).status).toBe(503);
  });

  describe("with locks", () => {
    const abnormal = {
      type: "https://iana.org/assignments/http-problem-types#abnormal-usage-detected",
      title: "Request not satisfied due to detection of abnormal request pattern",
    };
    const locking = { ...minute, maxCalls: 1, lockFor: "15m" } as const;

    it("sends the lock as the wait of the refusal that sets it and of those after it, which report abnormal usage", async () => {
      const port = await serve({ limiter: new AsyncRateLimiter(locking), key });
      expect((await send(port, as("ada"))).status).toBe(200);
      clock.advance("10s");
      const striking = await send(port, as("ada"));
      expect(striking.status).toBe(429);
      expect(striking.headers).toMatchObject({ "retry-after": "900", ratelimit: `"1-in-1m";r=0;t=900` });
      expect(JSON.parse(striking.body)).toEqual({ ...QUOTA, "violated-policies": ["1-in-1m"] });

      // The log would allow the request again.
      clock.advance("60500ms");
      const locked = await send(port, as("ada"));
      expect(locked.status).toBe(429);
      expect(locked.headers).toMatchObject({
        "retry-after": "840",
        "ratelimit-policy": `"1-in-1m";q=1;w=60`,
        ratelimit: `"1-in-1m";r=0;t=840`,
        "cache-control": "no-store",
        "content-type": "application/problem+json",
      });
      expect(JSON.parse(locked.body)).toEqual({ ...abnormal, status: 429, "violated-policies": ["1-in-1m"] });
      expect((await send(port, as("ben"))).status).toBe(200);

      clock.advance("839499ms");
      expect((await send(port, as("ada"))).headers["retry-after"]).toBe("1");
      clock.advance("1ms");
      expect((await send(port, as("ada"))).status).toBe(200);
    });

    it("sends no wait that is longer than the lock, rounded up to a second, at any time between two milliseconds", async () => {
      vi.spyOn(Date, "now").mockReturnValue(1_800_000_000_000);
      clock.set(0.5);
      const limiter = new AsyncRateLimiter({ ...locking, lockFor: "1m" });
      const port = await serve({ limiter, headers: "both" });
      await send(port);
      expect((await send(port)).headers).toMatchObject({
        "retry-after": "60",
        ratelimit: `"1-in-1m";r=0;t=60`,
        "x-ratelimit-reset": "1800000060",
      });
    });

    it("responds to a locked key with 403 if lockedStatus says so, and with 429 to the refusal that locks it", async () => {
      vi.spyOn(console, "error").mockReturnValue();
      for (const options of [{}, { throw: true }] as const) {
        const limiter = new AsyncRateLimiter(locking);
        const port = await serve({ limiter, lockedStatus: 403, ...options });
        const [passed, striking, locked] = [await send(port), await send(port), await send(port)];
        expect([passed.status, striking.status, locked.status]).toEqual([200, 429, 403]);
        expect(locked.headers["retry-after"]).toBe("900");
        if (!("throw" in options)) expect(JSON.parse(locked.body)).toMatchObject({ ...abnormal, status: 403 });
      }
    });

    it("passes the lock to onRefused, which responds with the standard status", async () => {
      const limiter = new AsyncRateLimiter(minute);
      await limiter.lock("ada", "1h");
      const onRefused = (request: unknown, decision: Decision, ...rest: unknown[]): unknown =>
        rig.respond(request as never, `${decision.refusedBy} ${decision.lockedForMs}`, rest as never[]);
      const port = await serve({ limiter, key, onRefused });
      expect(await send(port, as("ada"))).toMatchObject({ status: 429, body: "lock 3600000" });
    });

    it("sends a lock that was set by hand in every format, although no call is recorded", async () => {
      vi.spyOn(Date, "now").mockReturnValue(1_800_000_000_000);
      const limiter = new AsyncRateLimiter(minute);
      await limiter.lock("foo", "2m");
      const fields = async (headers: AnyOptions["headers"]): Promise<object> => {
        const got = await send(await serve({ limiter, key: () => "foo", headers }));
        expect([got.status, got.headers["retry-after"]]).toEqual([429, "120"]);
        return Object.fromEntries(Object.entries(got.headers).filter(([field]) => field.includes("ratelimit")));
      };
      expect(await fields("draft-11")).toMatchObject({ ratelimit: `"2-in-1m";r=0;t=120` });
      expect(await fields("draft-8")).toMatchObject({ ratelimit: `"2-in-1m"; r=0; t=120` });
      expect(await fields("draft-7")).toMatchObject({ ratelimit: "limit=2, remaining=0, reset=120" });
      expect(await fields("draft-6")).toMatchObject({ "ratelimit-remaining": "0", "ratelimit-reset": "120" });
      expect(await fields("legacy")).toMatchObject({
        "x-ratelimit-remaining": "0",
        "x-ratelimit-reset": "1800000120",
      });
      expect(await fields(false)).toEqual({});
    });

    it("refuses a request if one of several limiters has locked its key, and counts it in none", async () => {
      const ip = new AsyncRateLimiter({ ...minute, maxCalls: 5 });
      const user = new AsyncRateLimiter(minute);
      await user.lock("ada", "90s");
      const port = await serve({ limiters: { ip: { limiter: ip }, user: { limiter: user, key } } });
      const locked = await send(port, as("ada"));
      expect([locked.status, locked.headers["retry-after"]]).toEqual([429, "90"]);
      expect(JSON.parse(locked.body)).toEqual({ ...abnormal, status: 429, "violated-policies": ["user"] });
      expect(locked.headers["ratelimit"]).toContain(`"user";r=0;t=90`);
      expect((await ip.peek("127.0.0.1")).remaining).toBe(5);
      expect((await send(port, as("ben"))).status).toBe(200);
    });

    it("lets a request of a locked key pass in shadow mode", async () => {
      const limiter = new AsyncRateLimiter({ ...locking, mode: "shadow" });
      const port = await serve({ limiter });
      for (const remaining of ["r=0;t=60", "r=0;t=900", "r=0;t=900"]) {
        const { status, headers } = await send(port);
        expect([status, headers["ratelimit"]]).toEqual([200, `"1-in-1m";${remaining}`]);
      }
    });
  });

  describe("with refundWhen", () => {
    const large = "x".repeat(protocol === "HTTP/1.1" ? 16_000_000 : 1_000_000);
    const refundWhen = vi.fn(() => true);
    let limiter = new AsyncRateLimiter(minute);
    let release = (): void => undefined;
    let released: Promise<void> = Promise.resolve();
    const handler: Handler = async (path) => {
      if (path.startsWith("/wait")) await released;
      return { status: 200, body: path.startsWith("/large") ? large : "whole" };
    };

    beforeEach(() => {
      refundWhen.mockClear();
      limiter = new AsyncRateLimiter(minute);
      released = new Promise<void>((resolve) => (release = resolve));
    });

    const remaining = (id: string): Promise<number> => limiter.peek(id).then((decision) => decision.remaining);
    const untilRemaining = (id: string, expected: number): Promise<void> =>
      vi.waitFor(async () => expect([id, await remaining(id)]).toEqual([id, expected]), {
        timeout: 10_000,
        interval: 5,
      });

    /** Starts a request for each way to hang up, hangs up once `isUnderWay`, and expects that every request stays counted. */
    const expectCounted = async (sent: Sent, isUnderWay: (open: Open) => Promise<unknown>): Promise<void> => {
      const app = await rig.serve([{ limiter, key, refundWhen }], handler, protocol);
      running.push(app);
      const ways = Object.entries(HANG_UPS[protocol]);
      for (const [way, hangUp] of ways) {
        const open = await openRequest(protocol, app.port, {
          ...sent,
          headers: { ...sent.headers, ...as(way).headers },
        });
        await untilRemaining(way, 1);
        await isUnderWay(open);
        hangUp(open);
      }
      const cutByServer = await openRequest(protocol, app.port, {
        ...sent,
        headers: { ...sent.headers, ...as("cut").headers },
      });
      await untilRemaining("cut", 1);
      await isUnderWay(cutByServer);
      app.disconnect();
      // The handlers end when the server has noticed that the clients are gone.
      await sleep(20);
      release();
      await sleep(20);
      expect(refundWhen).not.toHaveBeenCalled();
      for (const [way] of ways) await untilRemaining(way, 1);
      expect((await send(app.port, as("next"))).status).toBe(200);
    };

    it("keeps a request counted if the client hangs up before the handler is done", async () => {
      await expectCounted({ path: "/wait" }, () => sleep(5));
    });

    it("keeps a request counted if the client hangs up during the body of the request", async () => {
      const headers = { "content-length": "10", "content-type": "text/plain" };
      await expectCounted({ path: "/wait", method: "POST", headers, body: "part" }, () => sleep(5));
    });

    it("keeps a request counted if the client hangs up after the headers of the response", async () => {
      await expectCounted({ path: "/large" }, ({ responded }) => responded);
    });

    it("refunds a request whose whole response was sent", async () => {
      const port = await serve({ limiter, key, refundWhen }, handler);
      const client = clientOf(protocol, port, 1);
      const requests: Record<string, Sent> = {
        get: {},
        head: { method: "HEAD" },
        post: { method: "POST", body: "body", headers: { "content-type": "text/plain" } },
        large: { path: "/large" },
      };
      for (const [id, sent] of Object.entries(requests)) {
        const headers = { ...sent.headers, ...as(id).headers };
        expect((await send(port, { ...sent, headers })).status).toBe(200);
        await untilRemaining(id, 2);
        expect((await client.send({ ...sent, headers })).status).toBe(200);
        await untilRemaining(id, 2);
      }
      const waiting = client.send({ path: "/wait", ...as("graceful") });
      await untilRemaining("graceful", 1);
      // Over HTTP/2, GOAWAY without an error: what has begun is completed.
      if (protocol === "HTTP/2") client.close();
      release();
      expect((await waiting).status).toBe(200);
      await untilRemaining("graceful", 2);
      client.close();
      expect(refundWhen.mock.calls).toEqual(Array.from({ length: 9 }, () => [expect.anything() as unknown, 200]));
    });
  });

  it("admits exactly maxCalls of a thousand requests at once", async () => {
    const port = await serve({ limiter: new AsyncRateLimiter({ maxCalls: 137, period: "1h" }) });
    const client = clientOf(protocol, port, 200);
    const responses = await Promise.all(Array.from({ length: 1000 }, () => client.send()));
    client.close();
    const statuses = responses.map(({ status }) => status);
    expect(statuses.filter((status) => status === 200)).toHaveLength(137);
    expect(statuses.filter((status) => status === 429)).toHaveLength(863);
    const remaining = responses.flatMap(({ status, headers }) => (status === 200 ? [headers["ratelimit"]] : []));
    expect(new Set(remaining.map((field) => /r=(\d+)/.exec(field ?? "")?.[1])).size).toBe(137);
  });

  it("counts every request of a connection that is kept alive, and responds in order", async () => {
    const port = await serve({ limiter: new AsyncRateLimiter({ ...RATE_LIMITS.login, clock }) });
    const client = clientOf(protocol, port, 1);
    const statuses = [];
    for (let requests = 0; requests < 6; requests += 1) statuses.push((await client.send()).status);
    client.close();
    expect(statuses).toEqual([200, 200, 200, 200, 200, 429]);
  });

  it.runIf(protocol === "HTTP/1.1")(
    "responds to an upgrade request like to any other if the server does not upgrade",
    async () => {
      const port = await serve({ limiter: new AsyncRateLimiter({ ...minute, maxCalls: 1 }) });
      const upgrade = { headers: { connection: "Upgrade", upgrade: "h2c" } };
      expect((await send(port, upgrade)).status).toBe(200);
      expect((await send(port, upgrade)).status).toBe(429);
    },
  );

  it("refuses a new key with 503 if the store has no room for it", async () => {
    const store = new MemoryStore({ maxKeys: 1, onFull: "deny", clock });
    const now = 1_800_000_000_000;
    vi.spyOn(Date, "now").mockReturnValue(now);
    const limiter = new AsyncRateLimiter({ maxCalls: 1, period: "1m", store });
    const port = await serve({ limiter, key, headers: "both" });
    expect((await send(port, as("ada"))).status).toBe(200);
    const full = await send(port, as("ben"));
    expect(full.status).toBe(503);
    expect(Number(full.headers["x-ratelimit-reset"])).toBe(now / 1000 + Number(full.headers["retry-after"]));
    expect(JSON.parse(full.body)).toMatchObject({ "violated-policies": [] });
  });

  it("neither runs the handler nor fails if the client resets its connection directly after the request", async () => {
    const failed = vi.spyOn(console, "error").mockReturnValue();
    const handled = vi.fn(hello);
    const port = await serve({ limiter: new AsyncRateLimiter({ ...minute, maxCalls: 0 }) }, handled);
    for (let clients = 0; clients < 10; clients += 1) {
      const socket = connectTo(port, "127.0.0.1");
      socket.on("error", () => undefined);
      await once(socket, "connect");
      if (protocol === "HTTP/1.1") {
        socket.write("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
      } else {
        const session = openSession(port, socket);
        session.request().on("error", () => undefined);
        await once(session, "remoteSettings");
      }
      socket.resetAndDestroy();
    }
    await sleep(50);
    expect((await send(port)).status).toBe(429);
    expect(handled).not.toHaveBeenCalled();
    expect(failed).not.toHaveBeenCalled();
  });

  it("does not fail if the client disconnects before the request is handled", async () => {
    const limiter = new AsyncRateLimiter({ ...minute, maxCalls: 1000 });
    const handled = vi.fn(hello);
    const skip = async (): Promise<boolean> => (await sleep(30), false);
    const port = await serve({ limiter, skip }, handled);
    await Promise.all(
      Array.from({ length: 20 }, async () => {
        const hangingUp = new AbortController();
        const gone = send(port, { signal: hangingUp.signal });
        await sleep(10);
        hangingUp.abort();
        await expect(gone).rejects.toThrow();
      }),
    );
    await sleep(60);
    // Whoever passed was counted.
    expect(1000 - (await limiter.peek("127.0.0.1")).remaining).toBe(handled.mock.calls.length);
    expect((await send(port)).status).toBe(200);
  });
});
