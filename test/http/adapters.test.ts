import { once } from "node:events";
import { createServer, type ServerResponse } from "node:http";
import { constants, type Http2ServerResponse, type ServerHttp2Stream } from "node:http2";
import { connect as connectSocket } from "node:net";
import express, { type NextFunction, type Request as ExpressRequest, type Response as ExpressResponse } from "express";
import fastify, { type FastifyReply, type FastifyRequest } from "fastify";
import { type Context, Hono } from "hono";
import Koa from "koa";
import { allOf, AsyncRateLimiter, type Decision, RateLimitExceededError } from "sluicegate";
import { rateLimit as onExpress } from "sluicegate/express";
import { rateLimit as onFastify } from "sluicegate/fastify";
import { rateLimit, rateLimitOf, withRateLimit } from "sluicegate/fetch";
import { rateLimit as onHono } from "sluicegate/hono";
import { HttpRateLimiter } from "sluicegate/http";
import { rateLimit as onKoa } from "sluicegate/koa";
import { ManualClock } from "sluicegate/testing";
import { describe, expect, it, vi } from "vitest";
import { createServerFor, openRequest, send, served } from "../support/http/rig.js";
import { plainView } from "../support/http/view.js";

const clock = new ManualClock();
const of = (maxCalls: number, name?: string): AsyncRateLimiter => {
  return new AsyncRateLimiter({ maxCalls, period: "1m", clock, name });
};

const preflight = {
  method: "OPTIONS",
  headers: { origin: "https://example.org", "access-control-request-method": "GET" },
};

/** A response that is not sent to any client. */
const silent = {
  statusCode: 200,
  headersSent: false,
  writableEnded: false,
  getHeader: () => undefined,
  setHeader: (): void => undefined,
  once: () => undefined,
  end: () => undefined,
};

describe("the options, on every framework", () => {
  const limiter = of(1);
  it.each<[object, RegExp]>([
    [{}, /^Expected `limiter` to be a limiter with a `check` function, got `undefined` \(undefined\)$/],
    [{ limiter: {} }, /^Expected `limiter` to be a limiter with a `check` function/],
    [limiter, /^Expected `options` to be an object such as `\{ limiter \}`, and not the limiter itself/],
    [{ httpVersion: "1.1", headers: {} }, /and not a request: write `app\.use\(rateLimit\(\{ limiter \}\)\)`/],
    [{ limiter: { tier: () => limiter, check: () => limiter } }, /^Expected `limiter` to be the limiter of one tier: /],
    [
      { limiter: { check: () => limiter }, refundWhen: () => true },
      /a limiter with a `refund` function, which `refundWhen` needs/,
    ],
    [{ limiter, limiters: { ip: { limiter } } }, /^Expected `limiter` to be absent beside `limiters`/],
    [{ limiters: { ip: { limiter } }, key: () => "a" }, /^Expected `key` to be absent beside `limiters`/],
    [{ limiters: {} }, /^Expected `limiters` to be an object of at least one limiter/],
    [{ limiters: [limiter] }, /^Expected `limiters` to be an object of limiters by name/],
    [
      { limiters: { ip: limiter } },
      /^Expected `\w+` to be one of the options limiter, key|^Expected `limiters.ip.limiter`/,
    ],
    [
      { limiters: { ip: { limiter }, user: { limiter } } },
      /^Expected `limiters.user.limiter` to be a limiter that no other name has/,
    ],
    [{ limiters: { ip: { limiter, key: "ip" } } }, /^Expected `limiters.ip.key` to be a function/],
    [{ limiters: { é: { limiter } } }, /^Expected `limiters` to be a name of printable ASCII/],
    [
      { limiters: { ip: { limiter: { check: () => limiter } } } },
      /^Expected `limiters.ip.limiter` to be a limiter of this/,
    ],
    [{ limiter: of(1, "é") }, /^Expected `limiter.name` to be a name of printable ASCII/],
    [{ limiter, key: "ip" }, /^Expected `key` to be a function/],
    [{ limiter, cost: 0 }, /^Expected `cost` to be a positive integer/],
    [{ limiter, cost: "1" }, /^Expected `cost` to be a positive integer/],
    [{ limiter, maxCalls: -1 }, /^Expected `maxCalls` to be a non-negative integer, got `-1`/],
    [{ limiter, maxCalls: "5" }, /^Expected `maxCalls` to be a non-negative integer, got `5` \(string\)/],
    [
      { limiters: { ip: { limiter, maxCalls: null } } },
      /^Expected `limiters.ip.maxCalls` to be a non-negative integer/,
    ],
    [{ limiters: { ip: { limiter } }, maxCalls: 5 }, /^Expected `maxCalls` to be absent beside `limiters`/],
    [{ limiter, skip: true }, /^Expected `skip` to be a function/],
    [{ limiter, countPreflights: 1 }, /^Expected `countPreflights` to be a boolean/],
    [{ limiter, onRefused: 429 }, /^Expected `onRefused` to be a function/],
    [{ limiter, refundWhen: true }, /^Expected `refundWhen` to be a function/],
    [
      { limiter, headers: true },
      /^Expected `headers` to be "draft-11" or "draft-8" or "draft-7" or "draft-6" or "legacy" or "both" or false, got `true`/,
    ],
    [
      { limiter, windowMs: 5 },
      / to be `period` of the `limiter`, whose bare numbers are seconds, or one of the options .*, got `5`/,
    ],
    [{ maxCalls: 5, period: "1m" }, /^Expected `period` to be `period` of the `limiter`, or .*, got `1m`/],
    [{ limiter, period: "1m" }, / to be `period` of the `limiter`, or one of the options .*, got `1m`/],
    [{ limiter, name: "api" }, / to be `name` of the `limiter`, or one of the options .*, got `api`/],
    [{ limiter, message: "wait" }, / to be `onRefused`, or one of the options .*, got `wait`/],
    [{ limiter, statusCode: 403 }, / to be `onRefused`, or one of the options .*, got `403`/],
    [{ limiter, store: {} }, / to be `store` of the `limiter`, or one of the options .*, got/],
    [{ limiter, identifier: "api" }, / to be `name` of the `limiter`, or one of the options .*, got `api`/],
    [{ limiter: allOf({ a: limiter }) }, /^Expected `limiter` to be one limiter: for several, .* use `limiters`, got/],
    [
      { limiters: { both: { limiter: allOf({ a: limiter }) } } },
      /^Expected `limiters\.both\.limiter` to be one limiter: for several/,
    ],
    [
      { limiter, headers: "draft-5" },
      /^Expected `headers` to be "draft-11" or "draft-8" or "draft-7" or "draft-6" or "legacy" or "both" or false, got `draft-5`/,
    ],
    [
      { limiter, whenDown: "open" },
      /^Expected `whenDown` to be "allow" or "deny" or a function of the error and the request/,
    ],
    [{ limiter, onStoreError: "log" }, /^Expected `onStoreError` to be a function/],
    [{ limiter, throw: "yes" }, /^Expected `throw` to be a boolean/],
    [{ limiter, warnings: 0 }, /^Expected `warnings` to be a boolean/],
    [{ limiter, throw: true, onRefused: () => null }, /^Expected `onRefused` to be absent beside `throw`/],
    [{ limiter, client: { trustProxy: true } }, /^Expected `trustProxy`/],
    [{ limiter, client: { proxies: 1 } }, /^Expected `proxies` to be one of the options/],
    [
      { limiter, max: 5 },
      /^Expected `max` to be `maxCalls` of the `limiter`, or one of the options limiter, limiters, key/,
    ],
  ])("of %j are refused in words", (options, message) => {
    expect(() => onExpress(options as never)).toThrow(message);
    expect(() => onExpress(options as never)).toThrow(/^Expected `/);
  });

  const view = {
    method: () => "GET",
    header: () => undefined,
    address: () => "10.0.0.1",
    isDisconnected: () => false,
    mayHaveUnannouncedBody: () => false,
    isPlain: () => false,
  };

  it("of a guard accept a fake limiter", async () => {
    const check = vi.fn(async (key: string) => limiter.peek(key));
    const { decision } = await new HttpRateLimiter({ limiter: { check } }, view).handle({});
    expect(check).toHaveBeenCalledWith("10.0.0.1");
    expect(decision?.allowed).toBe(true);
  });

  it("of a guard fail with the first error, and not with that of a view that cannot read the request", async () => {
    const isDisconnected = (): never => {
      throw new TypeError("no socket");
    };
    const key = (): never => {
      throw new Error("mine");
    };
    expect(() => new HttpRateLimiter({ limiter: of(1), key }, { ...view, isDisconnected }).handle({})).toThrow("mine");
    const late = new HttpRateLimiter({ limiter: of(1), key: async () => key() }, { ...view, isDisconnected });
    await expect(late.handle({})).rejects.toThrow("mine");
  });

  it("of a guard lead to an outcome without a promise if the limiter is synchronous", async () => {
    expect(
      new HttpRateLimiter({ limiter: of(1), cost: () => 1, skip: () => false }, view).handle({}),
    ).not.toBeInstanceOf(Promise);
    const slow = new HttpRateLimiter({ limiter: of(1), cost: async () => 1 }, view).handle({});
    expect(slow).toBeInstanceOf(Promise);
    expect((await slow).decision?.allowed).toBe(true);
  });
});

describe("a limiter by structure", () => {
  const decisionOf = async (name: string): Promise<object> => {
    const decision = await of(1).peek("ada");
    return { ...decision, layers: decision.layers.map((layer) => ({ ...layer, name })) };
  };

  it.each([
    ["queue-full", { maxQueue: 0 }],
    ["timeout", { timeout: "1s" }],
  ] as const)("of a guard say why a wait failed: %s", async (waitFailedBy, wait) => {
    const guard = new HttpRateLimiter({ limiter: of(1), wait }, plainView);
    expect((await guard.handle({})).rejection).toBeUndefined();
    const { rejection } = await guard.handle({});
    expect(rejection?.error?.()).toMatchObject({ code: "RATE_LIMIT_EXCEEDED", waitFailedBy });
  });

  it("is refused for a name that is invalid in a header, whether it publishes its limits or not", () => {
    const check = async (): Promise<never> => (await of(1).peek("ada")) as never;
    expect(() => onExpress({ limiter: { check, name: "é" } })).toThrow(/^Expected `limiter.name` to be a name of/);
    expect(() => onExpress({ limiter: { check, name: "é" }, headers: "legacy" })).not.toThrow();
  });

  it("whose decisions have such a name causes an error for each request, and no crash", async () => {
    const app = express();
    const check = async (): Promise<never> => (await decisionOf("\n")) as never;
    app.use(onExpress({ limiter: { check } }));
    vi.spyOn(console, "error").mockReturnValue();
    const { port, close } = await served(createServer(app));
    expect((await send(port)).status).toBe(500);
    await close();
  });
});

describe("a request without a socket", () => {
  const limiter = (): AsyncRateLimiter => of(2);
  const headers = { "x-forwarded-for": "203.0.113.7" };
  const thrown = (error: unknown): string => (error instanceof Error ? error.message : "no error");

  const express = (options: object): Promise<string> =>
    new Promise((resolve) => {
      const response = { ...silent, setHeader: () => undefined };
      onExpress({ limiter: limiter(), ...options })({ method: "GET", headers }, response, (error) =>
        resolve(error === undefined ? "passed" : thrown(error)),
      );
    });
  const koa = async (options: object): Promise<string> => {
    const context = { method: "GET", headers, state: {}, set: () => undefined, response: { get: () => "" } };
    let result = "refused";
    const next = async (): Promise<void> => void (result = "passed");
    await onKoa({ limiter: limiter(), ...options })(context as never, next).catch(
      (error: unknown) => (result = thrown(error)),
    );
    return result;
  };
  const onFastifyWithout = async (options: object): Promise<string> => {
    const app = fastify();
    app.addHook("onRequest", (request, _reply, done) => {
      Object.defineProperty(request.raw, "socket", { value: undefined });
      done();
    });
    await app.register(onFastify, { limiter: limiter(), ...options });
    app.setErrorHandler((error, _request, reply) => reply.send(thrown(error)));
    app.get("/", async () => "passed");
    const { body } = await app.inject({ url: "/", headers });
    await app.close();
    return body;
  };
  const hono = async (options: object): Promise<string> => {
    const app = new Hono();
    app.use(onHono({ limiter: limiter(), ...options }));
    app.onError((error, context) => context.text(thrown(error)));
    app.get("/", (context) => context.text("passed"));
    return (await app.request("/", { headers }, { incoming: {} })).text();
  };
  const fetch = async (options: object): Promise<string> => {
    const handler = withRateLimit(
      (_: Request, ...rest: readonly unknown[]) => new Response(`passed${rest.length - 1 || ""}`),
      {
        limiter: limiter(),
        ...options,
      },
    );
    return handler(new Request("https://example.org/", { headers }), { incoming: {} }).then(
      (response) => response.text(),
      thrown,
    );
  };

  it.each([
    ["express", express],
    ["koa", koa],
    ["fastify", onFastifyWithout],
    ["hono", hono],
    ["fetch", fetch],
  ])("passes on %s if a header holds the address, and otherwise the first error is reported", async (_, outcome) => {
    expect(await outcome({ client: { trustProxy: 1 } })).toBe("passed");
    expect(await outcome({ key: () => "ada" })).toBe("passed");
    const key = (): never => {
      throw new Error("mine");
    };
    expect(await outcome({ key })).toBe("mine");
    expect(await outcome({ key: async () => key() })).toBe("mine");
    expect(await outcome({ key: () => undefined })).toMatch(/^Expected `key\(request\)` to be /);
    expect(await outcome({})).toMatch(/^Expected `request.socket.remoteAddress` to be the client's address; /);
  });
});

describe("on express", () => {
  const later = { check: async (key: string): Promise<Decision> => of(1).check(key) };
  const request = { method: "GET", headers: {}, socket: { remoteAddress: "203.0.113.7" } };
  const broken = {
    ...silent,
    setHeader: () => {
      throw new Error("no such function");
    },
  };

  it.each([
    ["a limiter in memory", of(9)],
    ["a limiter that decides later", later],
  ])("reports to next what fails after the decision of %s", async (_, limiter) => {
    const error = await new Promise((resolve) => onExpress({ limiter })(request, broken, resolve));
    expect(error).toEqual(new Error("no such function"));
  });

  it.each([
    ["a limiter that decides later", { limiter: later }],
    ["onRefused", { limiter: of(0), onRefused: () => Promise.reject(new Error("no template")) }],
  ])("closes the connection and warns if next itself throws behind the promise of %s", async (_, options) => {
    const warned = vi.spyOn(process, "emitWarning").mockReturnValue();
    const destroy = vi.fn();
    onExpress(options)(request, { ...silent, destroy }, () => {
      throw new Error("no error page");
    });
    await vi.waitFor(() => expect(destroy).toHaveBeenCalledOnce());
    expect(warned).toHaveBeenCalledWith("The error handler failed; the connection was closed", {
      type: "SluicegateWarning",
      code: "SLUICEGATE_CALLBACK_FAILED",
      detail: expect.stringContaining("no error page") as string,
    });
  });

  it("counts preflights in a route of every method, whose handler they reach, but not before a route", async () => {
    const statuses = async (path: string): Promise<number[]> => {
      const app = express();
      app.all("/all", onExpress({ limiter: of(1) }));
      app.options("/options", onExpress({ limiter: of(1) }));
      app.use("/use", onExpress({ limiter: of(1) }));
      app.use((_request, response) => void response.end());
      const { port, close } = await served(createServer(app));
      const seen = [
        (await send(port, { ...preflight, path })).status,
        (await send(port, { ...preflight, path })).status,
      ];
      await close();
      return seen;
    };
    expect(await statuses("/all")).toEqual([200, 429]);
    expect(await statuses("/options")).toEqual([200, 200]);
    expect(await statuses("/use")).toEqual([200, 200]);
  });

  it("keeps a status that onRefused has set, or sent, before it throws", async () => {
    const app = express();
    app.use(
      "/set",
      onExpress({
        limiter: of(0),
        onRefused: (_request, _decision, response) => {
          response.statusCode = 418;
          throw new Error("no template");
        },
      }),
    );
    const statuses: number[] = [];
    app.use(
      "/sent",
      onExpress({
        limiter: of(0),
        onRefused: (_request, _decision, response) => {
          response.end("refused");
          throw new Error("too late");
        },
      }),
    );
    // eslint-disable-next-line @typescript-eslint/no-unused-vars -- express tells error handlers by their four parameters
    app.use((_error: Error, _request: ExpressRequest, response: ExpressResponse, _next: NextFunction) => {
      statuses.push(response.statusCode);
      if (!response.headersSent) response.end("failed");
    });
    const { port, close } = await served(createServer(app));
    expect(await send(port, { path: "/set" })).toMatchObject({ status: 418, body: "failed" });
    expect(await send(port, { path: "/sent" })).toMatchObject({ status: 429, body: "refused" });
    expect(statuses).toEqual([418, 429]);
    await close();
  });

  it("changes no response that other code has begun, and lets no refused request pass", async () => {
    const limiter = of(1);
    const handled = vi.fn();
    const failed = vi.fn();
    const app = express();
    app.use((_request, response, next) => {
      response.write("begun,");
      next();
    });
    app.use(onExpress({ limiter }));
    app.use((_request: ExpressRequest, response: ExpressResponse) => {
      handled();
      response.end("done");
    });
    // eslint-disable-next-line @typescript-eslint/no-unused-vars -- express tells error handlers by their four parameters
    app.use((error: Error, _request: ExpressRequest, response: ExpressResponse, _next: NextFunction) => {
      failed(error);
      response.end("refused");
    });
    const { port, close } = await served(createServer(app));
    expect(await send(port)).toMatchObject({ status: 200, body: "begun,done" });
    expect(await send(port)).toMatchObject({ status: 200, body: "begun,refused" });
    expect(handled).toHaveBeenCalledOnce();
    expect(failed).toHaveBeenCalledWith(expect.objectContaining({ code: "RATE_LIMIT_EXCEEDED", status: 429 }));
    await close();
  });

  it("does not crash if a handler fails after its response has begun", async () => {
    const limiter = of(2);
    const app = express();
    app.use(onExpress({ limiter, refundWhen: (_, status) => status < 400 }));
    app.use((_request, response) => {
      response.write("half");
      throw new Error("and no more");
    });
    vi.spyOn(console, "error").mockReturnValue();
    const { port, close } = await served(createServer(app));
    for (let times = 0; times < 2; times += 1) await expect(send(port)).rejects.toThrow(/aborted|socket hang up/);
    // Answers that broke off were not given back, whatever status they began with.
    expect((await send(port)).status).toBe(429);
    await close();
  });

  it("appends to the lists of a proxied response, and replaces its other fields", async () => {
    const app = express();
    app.use((_request, response, next) => {
      response.setHeader("RateLimit-Policy", [`"edge";q=9;w=1`, `"far";q=8;w=1`]);
      response.setHeader("X-RateLimit-Limit", 7);
      next();
    });
    app.use(onExpress({ limiter: of(3), headers: "both" }), (_request, response) => void response.end());
    const { port, close } = await served(createServer(app));
    const { headers } = await send(port);
    expect(headers["ratelimit-policy"]).toBe(`"edge";q=9;w=1, "far";q=8;w=1, "3-in-1m";q=3;w=60`);
    expect(headers["x-ratelimit-limit"]).toBe("3");
    await close();
  });
});

/** A frame of HTTP/2. @see RFC 9113, section 4.1 */
function frame(type: number, flags: number, stream: number, payload: readonly number[] = []): Buffer {
  return Buffer.from([0, 0, payload.length, type, flags, 0, 0, 0, stream, ...payload]);
}

describe("on node:http2", () => {
  /** Resets a stream, whose request is left incomplete, after the headers of the response, and returns the refunds. */
  const refundsAfterReset = async (code: number, respond: (response: ServerResponse) => unknown): Promise<number> => {
    const refundWhen = vi.fn(() => true);
    const limit = onExpress({ limiter: of(1), refundWhen });
    let finished = (): void => undefined;
    const finish = new Promise<void>((resolve) => (finished = resolve));
    const server = createServerFor("HTTP/2", (request, response) => {
      response.once("finish", () => setImmediate(finished));
      limit(request, response, () => respond(response));
    });
    const { port, close } = await served(server);
    const open = await openRequest("HTTP/2", port, { method: "POST", body: "part" });
    await open.responded;
    // Until the rest of the response was written.
    await new Promise((resolve) => setTimeout(resolve, 20));
    open.stream?.close(code);
    await finish;
    open.session?.destroy();
    await close();
    return refundWhen.mock.calls.length;
  };

  it("keeps a request counted if the client resets its stream without an error before the handler ends the response", async () => {
    expect(await refundsAfterReset(constants.NGHTTP2_NO_ERROR, (response) => response.write("half"))).toBe(0);
  });

  it("keeps a request counted if the client cancels its stream after the whole response was written to the socket", async () => {
    const refundWhen = vi.fn(() => true);
    const limit = onExpress({ limiter: of(1), refundWhen });
    let onStream: (stream: ServerHttp2Stream) => void;
    const opened = new Promise<ServerHttp2Stream>((resolve) => (onStream = resolve));
    const server = createServerFor("HTTP/2", (request, response) => {
      // Node closes the stream of a request whose body nothing reads as soon as the response is written.
      request.resume();
      limit(request, response, () => response.end("x".repeat(50_000)));
      onStream((response as unknown as Http2ServerResponse).stream);
    });
    const { port, close } = await served(server);
    // A client of Node ends the body of a request before it resets the stream, so the frames are written here.
    const socket = connectSocket(port, "127.0.0.1");
    const settings = frame(0x4, 0, 0);
    // The request of a POST to "/" at the host "a", with END_HEADERS and without END_STREAM.
    const headers = frame(0x1, 0x4, 1, [0x83, 0x86, 0x84, 0x01, 0x01, 0x61]);
    socket.write(Buffer.concat([Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), settings, headers]));
    const stream = await opened;
    if (!stream.writableFinished) await once(stream, "finish");
    socket.write(frame(0x3, 0, 1, [0, 0, 0, constants.NGHTTP2_CANCEL]));
    await once(stream, "close");
    await new Promise((resolve) => setImmediate(resolve));
    expect(stream.writableFinished).toBe(true);
    expect(refundWhen).not.toHaveBeenCalled();
    socket.destroy();
    await close();
  });
});

describe("on koa", () => {
  it("adds nothing to a response that has begun when a request is refused", async () => {
    const app = new Koa();
    app.use(async (context, next) => {
      context.respond = false;
      context.status = 200;
      context.res.write("begun,");
      const error: unknown = await next().catch((failure: unknown) => failure);
      context.res.end(error instanceof RateLimitExceededError ? "refused" : "passed");
    });
    app.use(onKoa({ limiter: of(0) }));
    // eslint-disable-next-line @typescript-eslint/no-misused-promises -- koa handles the rejection
    const { port, close } = await served(createServer(app.callback()));
    expect(await send(port)).toMatchObject({ status: 200, body: "begun,refused" });
    await close();
  });
});

describe("on fastify", () => {
  const key = (): string => "somebody";

  it("refunds a request that a test injects", async () => {
    const limiter = of(2);
    const app = fastify();
    await app.register(onFastify, { limiter, key, refundWhen: (_, status) => status < 400 });
    app.get("/", async () => "in");
    expect((await app.inject("/")).statusCode).toBe(200);
    expect((await limiter.peek("somebody")).remaining).toBe(2);
    expect((await app.inject("/elsewhere")).statusCode).toBe(404);
    expect((await limiter.peek("somebody")).remaining).toBe(1);
    await app.close();
  });

  it("limits routes by their own options, which override those of the plugin, and not at all if they are false", async () => {
    const app = fastify();
    await app.register(onFastify, { limiter: of(2), key, headers: "legacy", prefix: "/ignored" });
    app.get("/plain", async (request) => ({ remaining: request.rateLimit?.remaining }));
    app.get("/own", { config: { rateLimit: { limiter: of(5), headers: "draft-11" } } }, async () => "own");
    app.get("/dear", { config: { rateLimit: { cost: 2 } } }, async () => "dear");
    app.get("/both", { config: { rateLimit: { limiters: { a: { limiter: of(4), key } } } } }, async () => "both");
    app.get("/open", { config: { rateLimit: false } }, async (request) => ({ decision: request.rateLimit }));

    expect((await app.inject("/plain")).json()).toEqual({ remaining: 1 });
    const own = await app.inject("/own");
    expect(own.headers["ratelimit-policy"]).toBe(`"5-in-1m";q=5;w=60`);
    expect((await app.inject("/both")).headers["x-ratelimit-limit"]).toBe("4");
    const dear = await app.inject("/dear");
    expect([dear.statusCode, dear.headers["x-ratelimit-remaining"]]).toEqual([429, "1"]);
    for (let times = 0; times < 3; times += 1) {
      const open = await app.inject("/open");
      expect(open.json()).toEqual({ decision: null });
      expect(open.headers).not.toHaveProperty("x-ratelimit-limit");
    }
    expect((await app.inject("/plain")).statusCode).toBe(200);
    expect((await app.inject("/plain")).statusCode).toBe(429);
    await app.close();
  });

  it("counts preflights in a route of several methods, and in none of OPTIONS alone", async () => {
    const app = fastify();
    await app.register(onFastify, { limiter: of(1), key: (request) => request.url });
    const routes = { "/all": ["OPTIONS", "GET"], "/options": "OPTIONS", "/listed": ["OPTIONS"] };
    for (const [url, method] of Object.entries(routes)) app.route({ url, method, handler: () => "" });
    const statuses = async (url: string): Promise<number[]> => {
      const inject = async (): Promise<number> =>
        (await app.inject({ ...preflight, method: "OPTIONS", url })).statusCode;
      return [await inject(), await inject()];
    };
    expect(await statuses("/all")).toEqual([200, 429]);
    expect(await statuses("/options")).toEqual([200, 200]);
    expect(await statuses("/listed")).toEqual([200, 200]);
  });

  it("does not refuse a request that was responded to before the decision", async () => {
    const onRefused = vi.fn();
    const app = fastify();
    const limiter = {
      check: async (id: string): Promise<Decision> => {
        await new Promise((resolve) => setTimeout(resolve, 5));
        return of(0).check(id);
      },
    };
    app.addHook("onRequest", (_request, reply, done) => {
      setTimeout(() => void reply.send("too late"), 1);
      done();
    });
    await app.register(onFastify, { limiter, key, onRefused });
    app.get("/", () => "");
    expect((await app.inject("/")).body).toBe("too late");
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(onRefused).not.toHaveBeenCalled();
  });

  it("limits only routes with options of their own where the plugin has no limiter", async () => {
    const app = fastify();
    await app.register(onFastify, { key });
    app.get("/plain", async () => "plain");
    app.get("/own", { config: { rateLimit: { limiter: of(1) } } }, async () => "own");
    expect(() => app.get("/none", { config: { rateLimit: { cost: 2 } } }, async () => "none")).toThrow(
      /^Expected `config.rateLimit.limiter` to be a limiter, because the plugin has none/,
    );
    expect((await app.inject("/plain")).headers).not.toHaveProperty("ratelimit");
    expect((await app.inject("/own")).statusCode).toBe(200);
    expect((await app.inject("/own")).statusCode).toBe(429);
    await app.close();
  });

  it.each([{ key }, { key, limiter: of(1) }])(
    "translates the options of @fastify/rate-limit in a route, with the plugin options %o",
    async (options) => {
      const app = fastify();
      await app.register(onFastify, options);
      expect(() => app.get("/", { config: { rateLimit: { max: 5 } as never } }, async () => "")).toThrow(
        /^Expected `max` to be `maxCalls` of the `limiter`, or one of the options .*, got `5`/,
      );
      await app.close();
    },
  );

  it("reports invalid options when the plugin is registered, or the route is added", async () => {
    const app = fastify();
    await app.register(onFastify, { limiter: of(1) });
    expect(() => app.get("/", { config: { rateLimit: { headers: "draft-5" as never } } }, async () => "")).toThrow(
      /^Expected `headers`/,
    );
    expect(() => app.get("/", { config: { rateLimit: true as never } }, async () => "")).toThrow(
      /^Expected `config.rateLimit` to be an object of options, or false, got `true`/,
    );
    await app.close();
    const wrong = fastify();
    await expect(wrong.register(onFastify, { limiter: of(1), max: 1 } as object)).rejects.toThrow(/^Expected `max`/);
    await wrong.close();
  });

  it("limits the app that registers it and those inside, and no other", async () => {
    const app = fastify();
    await app.register(async (inside) => {
      await inside.register(onFastify, { limiter: of(1), key });
      inside.get("/limited", async () => "limited");
      await inside.register(async (further) => {
        further.get("/further", async () => "further");
      });
    });
    app.get("/free", async (request) => ({ has: "rateLimit" in request }));
    expect((await app.inject("/limited")).statusCode).toBe(200);
    expect((await app.inject("/further")).statusCode).toBe(429);
    expect((await app.inject("/free")).json()).toEqual({ has: false });
    await app.close();
  });

  it("counts a request in every registration around its route; the route's options override the nearest one, and false switches off all", async () => {
    const [outer, inner, route] = [of(9, "outer"), of(8, "inner"), of(7, "route")];
    const app = fastify();
    await app.register(onFastify, { limiter: outer, key });
    await app.register(async (inside) => {
      await inside.register(onFastify, { limiter: inner, key });
      inside.get("/plain", async () => "plain");
      inside.get("/own", { config: { rateLimit: { limiter: route } } }, async () => "own");
      inside.get("/open", { config: { rateLimit: false } }, async (request) => ({ decision: request.rateLimit }));
    });
    const policies = async (path: string): Promise<unknown> => (await app.inject(path)).headers["ratelimit-policy"];
    expect(await policies("/plain")).toBe(`"outer";q=9;w=60, "inner";q=8;w=60`);
    expect(await policies("/own")).toBe(`"outer";q=9;w=60, "route";q=7;w=60`);
    expect(await policies("/open")).toBeUndefined();
    expect((await app.inject("/open")).json()).toEqual({ decision: null });
    expect((await outer.peek("somebody")).remaining).toBe(7);
    await app.close();
  });

  it("takes the limiter of a route from the nearest registration when the ones further out have none", async () => {
    const app = fastify();
    await app.register(onFastify, { key });
    await app.register(async (inside) => {
      await inside.register(onFastify, { limiter: of(3), key });
      inside.get("/dear", { config: { rateLimit: { cost: 2 } } }, async () => "dear");
    });
    expect((await app.inject("/dear")).headers["ratelimit"]).toBe(`"3-in-1m";r=1;t=60`);
    await app.close();
  });

  it("applies a route's options to the last of two registrations in one app", async () => {
    const app = fastify();
    await app.register(onFastify, { limiter: of(9, "first"), key });
    await app.register(onFastify, { limiter: of(8, "last"), key });
    app.get("/own", { config: { rateLimit: { limiter: of(7, "route") } } }, async () => "own");
    app.get("/open", { config: { rateLimit: false } }, async () => "open");
    expect((await app.inject("/own")).headers["ratelimit-policy"]).toBe(`"first";q=9;w=60, "route";q=7;w=60`);
    expect((await app.inject("/open")).headers).not.toHaveProperty("ratelimit");
    await app.close();
  });

  it("limits a not-found handler by options of its own, over those of the nearest registration", async () => {
    const app = fastify();
    await app.register(onFastify, { limiter: of(9, "all"), key });
    const missing = { rateLimit: { limiter: of(2, "missing") } };
    app.setNotFoundHandler({ config: missing }, (_, reply) => reply.code(404).send("no"));
    app.get("/", async () => "home");
    await app.register(
      async (inside) => {
        await inside.register(onFastify, { limiter: of(8, "inner"), key });
        inside.setNotFoundHandler({ config: { rateLimit: { cost: 2 } } }, (_, reply) => reply.code(404).send("inside"));
      },
      { prefix: "/inside" },
    );
    // An app that was there before a second registration is not limited by that one.
    await app.register(
      async (early) => {
        early.setNotFoundHandler({ config: { rateLimit: { cost: 3 } } }, (_, reply) => reply.code(404).send("early"));
      },
      { prefix: "/early" },
    );
    await app.register(onFastify, { limiter: of(1, "late"), key, skip: () => true });

    expect((await app.inject("/")).headers["ratelimit"]).toBe(`"all";r=8;t=60`);
    const inside = await app.inject("/inside/nowhere");
    expect([inside.statusCode, inside.body]).toEqual([404, "inside"]);
    expect(inside.headers["ratelimit"]).toBe(`"all";r=7;t=60, "inner";r=6;t=60`);
    const early = await app.inject("/early/nowhere");
    expect([early.statusCode, early.headers["ratelimit"]]).toEqual([404, `"all";r=4;t=60`]);
    await app.close();

    const plain = fastify();
    await plain.register(onFastify, { limiter: of(9, "all"), key });
    plain.setNotFoundHandler({ config: missing }, (_, reply) => reply.code(404).send("no"));
    for (const [statusCode, ratelimit] of [
      [404, `"missing";r=1;t=60`],
      [404, `"missing";r=0;t=60`],
      [429, `"missing";r=0;t=60`],
    ]) {
      const response = await plain.inject("/nowhere");
      expect([response.statusCode, response.headers["ratelimit"]]).toEqual([statusCode, ratelimit]);
    }
    await plain.close();
  });

  it("does not limit a not-found handler whose config is false, and reports its invalid options", async () => {
    const open = fastify();
    await open.register(onFastify, { limiter: of(0), key });
    open.setNotFoundHandler({ config: { rateLimit: false } }, (_, reply) => reply.code(404).send("no"));
    expect((await open.inject("/nowhere")).statusCode).toBe(404);
    await open.close();

    const wrong = fastify();
    await wrong.register(onFastify, { limiter: of(9), key });
    wrong.setNotFoundHandler({ config: { rateLimit: { headers: "draft-5" as never } } }, (_, reply) =>
      reply.send("no"),
    );
    const response = await wrong.inject("/nowhere");
    expect([response.statusCode, response.body]).toEqual([500, expect.stringContaining("Expected `headers` to be")]);
    await wrong.close();
  });

  it("counts requests of unknown routes", async () => {
    const app = fastify();
    await app.register(onFastify, { limiter: of(1), key });
    expect((await app.inject("/wp-admin")).statusCode).toBe(404);
    expect((await app.inject("/.env")).statusCode).toBe(429);
    await app.close();
  });

  it("refuses before a body is read", async () => {
    const app = fastify({ bodyLimit: 10 });
    await app.register(onFastify, { limiter: of(0), key });
    app.post("/", async () => "read");
    const refused = await app.inject({ method: "POST", url: "/", payload: { long: "x".repeat(1000) } });
    expect(refused.statusCode).toBe(429);
    await app.close();
  });

  it("sends what onRefused returns", async () => {
    const app = fastify();
    await app.register(onFastify, { limiter: of(0), key, onRefused: (_, { reason }) => ({ reason }) });
    app.get("/", async () => "never");
    const refused = await app.inject("/");
    expect([refused.statusCode, refused.json()]).toEqual([429, { reason: "Rate limit exceeded" }]);
    await app.close();
  });

  it("limits a route that was added before the plugin was loaded", async () => {
    const app = fastify();
    void app.register(onFastify, { limiter: of(9), key });
    app.get("/plain", async () => "plain");
    app.get("/login", { config: { rateLimit: { limiter: of(1, "login") } } }, async () => "in");
    app.get("/open", { config: { rateLimit: false } }, async () => "open");
    app.get("/wrong", { config: { rateLimit: { headers: "draft-5" as never } } }, async () => "wrong");
    expect((await app.inject("/plain")).headers["ratelimit"]).toBe(`"9-in-1m";r=8;t=60`);
    expect((await app.inject("/login")).headers["ratelimit"]).toBe(`"login";r=0;t=60`);
    expect((await app.inject("/login")).statusCode).toBe(429);
    expect((await app.inject("/open")).headers).not.toHaveProperty("ratelimit");
    const wrong = await app.inject("/wrong");
    expect([wrong.statusCode, wrong.body]).toEqual([500, expect.stringContaining("Expected `headers` to be")]);
    await app.close();
  });

  it("changes no response that onRefused sends, now or later", async () => {
    const app = fastify();
    app.addHook("onSend", async (_request, _reply, payload) => payload);
    const onRefused = (request: FastifyRequest, _: unknown, reply: FastifyReply): void => {
      if (request.url === "/now") reply.send("now");
      else setTimeout(() => void reply.send("later"), 5);
    };
    await app.register(onFastify, { limiter: of(0), key, onRefused });
    const warned = vi.spyOn(process, "emitWarning").mockReturnValue();
    expect((await app.inject("/now")).body).toBe("now");
    expect((await app.inject("/later")).body).toBe("later");
    expect(warned).not.toHaveBeenCalled();
    await app.close();
  });

  it("leaves the status to the error handler when a refusal is thrown, or onRefused throws", async () => {
    const failing = (): never => {
      throw new Error("busy");
    };
    const failingLater = (): Promise<never> => Promise.resolve().then(failing);
    for (const own of [{ throw: true }, { onRefused: failing }, { onRefused: failingLater }]) {
      const app = fastify();
      await app.register(onFastify, { limiter: of(0), key, ...own });
      app.get("/", async () => "never");
      await app.register(async (inside) => {
        inside.setErrorHandler((_, __, reply) => reply.redirect("/wait"));
        inside.get("/inside", async () => "never");
      });
      const redirected = await app.inject("/inside");
      expect([redirected.statusCode, redirected.headers.location]).toEqual([302, "/wait"]);
      // The default handler takes the status of the error, or else 500.
      expect((await app.inject("/")).statusCode).toBe("throw" in own ? 429 : 500);
      await app.close();
    }
  });

  it("keeps a status that onRefused has set before it throws, and lets it redirect", async () => {
    const app = fastify();
    const onRefused = (request: FastifyRequest, _: unknown, reply: FastifyReply): FastifyReply => {
      if (request.url === "/redirected") return reply.redirect("/wait");
      reply.code(418);
      throw new Error("no coffee");
    };
    await app.register(onFastify, { limiter: of(0), key, onRefused });
    app.get("/", async () => "never");
    app.get("/redirected", async () => "never");
    expect((await app.inject("/")).statusCode).toBe(418);
    expect((await app.inject("/redirected")).statusCode).toBe(302);
    await app.close();
  });

  it("throws to the error handler of the app", async () => {
    const app = fastify();
    await app.register(onFastify, { limiter: of(0), key, throw: true });
    app.setErrorHandler((error: RateLimitExceededError, _, reply) =>
      reply.code(error.status).send({ code: error.code }),
    );
    app.get("/", async () => "never");
    const refused = await app.inject("/");
    expect([refused.statusCode, refused.json()]).toEqual([429, { code: "RATE_LIMIT_EXCEEDED" }]);
    await app.close();
  });
});

describe("onRefused", () => {
  const onRefused = { "Retry-After": "5" };
  const key = (): string => "somebody";
  const spent = (): AsyncRateLimiter => {
    const limiter = of(1);
    limiter.checkSync("somebody");
    return limiter;
  };

  it.each(["draft-11", false] as const)(
    "keeps the fields that it sets on hono and fetch, and gets the others, with headers: %s",
    async (headers) => {
      const seen: (string | null)[][] = [];
      const note = ({ headers: got }: Response): unknown =>
        seen.push([got.get("retry-after"), got.get("cache-control"), got.get("ratelimit")]);
      const limiter = spent();
      const refuse = (): Response => new Response("no", { status: 429, headers: onRefused });
      const handler = withRateLimit(() => new Response(), { limiter, key, headers, onRefused: refuse });
      note(await handler(new Request("https://example.org/")));
      for (const respond of [refuse, (context: Context) => context.text("no", 429, onRefused)]) {
        for (const createsResponse of [false, true]) {
          const app = new Hono();
          app.use(async (context, next) => {
            // What hono creates here it merges into every later response.
            if (createsResponse) context.res.headers.set("X-Outer", "yes");
            await next();
          });
          app.use(onHono({ limiter, key, headers, onRefused: respond }));
          note(await app.request("/"));
        }
      }
      const limits = headers === false ? null : `"1-in-1m";r=0;t=60`;
      expect(seen).toEqual(Array.from({ length: 5 }, () => ["5", "no-store", limits]));
    },
  );
});

describe("an error handler that sets no status, or redirects", () => {
  const failing = (): never => {
    throw new Error("busy");
  };

  it.each<[string, object]>([
    ["throw: true", { throw: true }],
    ["onRefused throws", { onRefused: failing }],
    ["onRefused rejects", { onRefused: () => Promise.resolve().then(failing) }],
  ])("gets a response without a status on express when %s", async (_, own) => {
    const app = express();
    app.use(onExpress({ limiter: of(0), ...own }));
    // eslint-disable-next-line @typescript-eslint/no-unused-vars -- express recognizes error handlers by their four parameters
    app.use((_error: Error, request: ExpressRequest, response: ExpressResponse, _next: NextFunction) => {
      if (request.path === "/redirect") response.redirect("/wait");
      else response.end("sorry");
    });
    const { port, close } = await served(createServer(app));
    expect((await send(port)).status).toBe(200);
    expect((await send(port, { path: "/redirect" })).status).toBe(302);
    await close();
  });

  it("never responds with the status of the refusal on koa when onRefused throws", async () => {
    const app = new Koa();
    app.use(async (context, next) => {
      try {
        await next();
      } catch {
        if (context.path === "/redirect") context.redirect("/wait");
        else context.body = "sorry";
      }
    });
    app.use(onKoa({ limiter: of(0), onRefused: failing }));
    // eslint-disable-next-line @typescript-eslint/no-misused-promises -- koa handles the rejection
    const { port, close } = await served(createServer(app.callback()));
    // Koa cannot unset a status.
    expect((await send(port)).status).toBe(500);
    expect((await send(port, { path: "/redirect" })).status).toBe(302);
    await close();
  });

  it.each<[string, object]>([
    ["throw: true", { throw: true }],
    ["onRefused throws", { onRefused: failing }],
    ["onRefused returns no Response", { onRefused: () => undefined }],
  ])("gets a context without a status on hono when %s", async (_, own) => {
    const app = new Hono();
    app.use(onHono({ limiter: of(0), key: () => "somebody", ...own }));
    app.onError((_error, context) =>
      context.req.path === "/redirect" ? context.redirect("/wait") : context.text("sorry"),
    );
    expect((await app.request("/")).status).toBe(200);
    expect((await app.request("/redirect")).status).toBe(302);
  });
});

describe("on hono", () => {
  const key = (): string => "somebody";

  it("throws to the error handler of the app, and responds itself if there is none", async () => {
    const app = new Hono();
    app.use(onHono({ limiter: of(0), key, throw: true }));
    const plain = await app.request("/");
    expect([plain.status, plain.headers.get("content-type")]).toEqual([429, "application/problem+json"]);
    app.onError((error, context) =>
      error instanceof RateLimitExceededError ? context.text(error.code, error.status) : context.text("?", 500),
    );
    const handled = await app.request("/");
    expect([handled.status, await handled.text()]).toEqual([429, "RATE_LIMIT_EXCEEDED"]);
    expect(handled.headers.get("ratelimit")).toBe(`"0-in-1m";r=0`);
  });

  it("responds with 500 if onRefused returns no Response", async () => {
    const app = new Hono();
    app.use(onHono({ limiter: of(0), key, onRefused: () => undefined }));
    app.onError((error, context) => context.text(error.message, 500));
    const response = await app.request("/");
    expect([response.status, await response.text()]).toEqual([500, expect.stringMatching(/^Expected `onRefused/)]);
    const handler = withRateLimit(() => new Response("in"), { limiter: of(0), key, onRefused: () => undefined });
    await expect(handler(new Request("https://example.org/"))).rejects.toThrow(/^Expected `onRefused/);
  });

  it("needs an address unless TESTING=1 switches limits off", async () => {
    const app = (): Hono => {
      const made = new Hono();
      made.use(onHono({ limiter: of(1) }));
      made.get("/", (context) => context.text("in"));
      made.onError((_, context) => context.text("failed", 500));
      return made;
    };
    vi.stubEnv("TESTING", "1");
    const testing = app();
    for (let requests = 0; requests < 2; requests += 1) expect((await testing.request("/")).status).toBe(200);
    vi.stubEnv("NODE_ENV", "production");
    expect((await app().request("/")).status).toBe(500);
    vi.stubEnv("TESTING", "");
    expect((await testing.request("/")).status).toBe(500);
  });

  it("adds its limits to those of a response that the handler has fetched elsewhere, and to the same once", async () => {
    const upstream = { "RateLimit-Policy": `"up";q=9;w=9`, RateLimit: `"up";r=1`, "X-RateLimit-Limit": "99" };
    for (const handler of [
      () => new Response("", { headers: upstream }),
      (context: Context) => context.body("", 200, upstream),
      async (context: Context) => {
        context.header("X-Seen", "yes");
        return new Response("", { headers: upstream });
      },
    ]) {
      const app = new Hono();
      app.use(onHono({ limiter: of(3, "own"), key, headers: "both" }));
      app.use(onHono({ limiter: of(5, "inner"), key, headers: "both" }));
      app.get("/", handler);
      const { headers } = await app.request("/");
      expect(headers.get("ratelimit-policy")).toBe(`"up";q=9;w=9, "own";q=3;w=60, "inner";q=5;w=60`);
      expect(headers.get("ratelimit")).toBe(`"up";r=1, "own";r=2;t=60, "inner";r=4;t=60`);
      expect(headers.get("x-ratelimit-limit")).toBe("3");
    }
  });

  it("passes on an error of the network", async () => {
    const app = new Hono();
    app.use(onHono({ limiter: of(3), key }));
    app.get("/", () => Response.error());
    expect((await app.request("/")).type).toBe("error");
  });

  it("adds the limits to a response with immutable headers, and none to an upgraded connection", async () => {
    const app = new Hono();
    app.use(onHono({ limiter: of(3), key }));
    app.get("/elsewhere", () => Response.redirect("https://example.org/", 302));
    const upgraded = Object.defineProperty(new Response(null), "status", { value: 101 });
    app.get("/socket", () => upgraded);
    const elsewhere = await app.request("/elsewhere");
    expect([elsewhere.status, elsewhere.headers.get("ratelimit")]).toEqual([302, `"3-in-1m";r=2;t=60`]);
    expect(await app.request("/socket")).toBe(upgraded);
  });

  it("finds the client on Bun and on Deno, and fails with advice elsewhere", async () => {
    const seen: string[] = [];
    const limiter = new AsyncRateLimiter({ maxCalls: 9, period: "1m", onDecision: (_, key) => seen.push(key) });
    const app = new Hono();
    app.use(onHono({ limiter }));
    app.get("/", (context) => context.text("hello"));
    app.onError((error, context) => context.text(error.message, 500));
    const bun = { requestIP: (request: unknown) => (request instanceof Request ? { address: "203.0.113.1" } : null) };
    await app.request("/", {}, bun);
    await app.request("/", {}, { server: bun });
    await app.request("/", {}, { remoteAddr: { hostname: "2001:db8:1:2::3", transport: "tcp" } });
    expect(seen).toEqual(["203.0.113.1", "203.0.113.1", "2001:db8:1:2::/64"]);
    const lost = await app.request("/");
    expect([lost.status, await lost.text()]).toEqual([500, expect.stringContaining("to be the client's address; ")]);

    const worker = new Hono();
    worker.use(onHono({ limiter, client: { header: "cf-connecting-ip" } }));
    await worker.request("/", { headers: { "cf-connecting-ip": "198.51.100.7" } });
    expect(seen.at(-1)).toBe("198.51.100.7");
  });
});

describe("on fetch", () => {
  const key = (): string => "somebody";
  const request = (): Request => new Request("https://example.org/");

  it("adds the limits to responses that are immutable or reused, and keeps the rest of them", async () => {
    const again = new Response(null, { status: 204, statusText: "Nothing", headers: { "x-own": "1" } });
    const limited = rateLimit({ limiter: of(9), key });
    const redirecting = limited(() => Response.redirect("https://example.org/", 302));
    expect((await redirecting(request())).headers.get("ratelimit")).toBe(`"9-in-1m";r=8;t=60`);
    const repeating = limited(() => again);
    for (const remaining of [7, 6]) {
      const got = await repeating(request());
      expect([got.status, got.statusText, got.headers.get("x-own")]).toEqual([204, "Nothing", "1"]);
      expect(got.headers.get("ratelimit")).toBe(`"9-in-1m";r=${remaining};t=60`);
    }
  });

  it("returns the response of an upgraded connection unchanged: that of Deno, and undefined on Bun", async () => {
    const upgraded = Object.defineProperty(new Response(null), "status", { value: 101 });
    const limited = rateLimit({ limiter: of(9), key });
    expect(await limited(() => upgraded)(request())).toBe(upgraded);
    expect(await limited(() => undefined)(request())).toBeUndefined();
  });

  it("finds the client by the second argument of Bun and Deno, and fails with advice without it", async () => {
    const seen: string[] = [];
    const limiter = new AsyncRateLimiter({ maxCalls: 9, period: "1m", onDecision: (_, key) => seen.push(key) });
    const handler = withRateLimit((_: Request, ...rest: readonly unknown[]) => new Response(`${rest.length}`), {
      limiter,
    });
    const server = { requestIP: (): { address: string } => ({ address: "::ffff:203.0.113.1" }) };
    expect(await (await handler(request(), server)).text()).toBe("1");
    await handler(request(), { remoteAddr: { hostname: "203.0.113.2" } }, "more");
    expect(seen).toEqual(["203.0.113.1", "203.0.113.2"]);
    await expect(handler(request(), { params: {} })).rejects.toThrow(/to be the client's address; /);
    await expect(handler(request())).rejects.toThrow(TypeError);
  });

  it("passes the decision to the handler, and rejects with its error, refunded if refundWhen returns true", async () => {
    const limiter = of(2);
    const handler = withRateLimit(
      async (request: Request) => {
        expect(rateLimitOf(request)?.remaining).toBe(1);
        throw new Error("broken");
      },
      { limiter, key, refundWhen: (_, status) => status === 500 },
    );
    await expect(handler(request())).rejects.toThrow("broken");
    await vi.waitFor(async () => expect((await limiter.peek("somebody")).remaining).toBe(2));
    expect(rateLimitOf(request())).toBeUndefined();
  });

  it.each(["fetch", "hono"])(
    "keeps a request counted on %s if the client has hung up before the handler returns",
    async (on) => {
      const limiter = of(9);
      const options = { limiter, key, refundWhen: () => true };
      const handler = async (request: Request): Promise<Response> => {
        if (request.headers.has("x-gone")) hangingUp.abort();
        return new Response("response");
      };
      const hangingUp = new AbortController();
      const app = new Hono();
      app.use(onHono(options)).get("/", (context) => handler(context.req.raw));
      const handle = on === "hono" ? (request: Request) => app.request(request) : withRateLimit(handler, options);
      await handle(new Request("https://example.org/", { signal: hangingUp.signal }));
      await vi.waitFor(async () => expect((await limiter.peek("somebody")).remaining).toBe(9));
      await handle(new Request("https://example.org/", { signal: hangingUp.signal, headers: { "x-gone": "1" } }));
      expect((await limiter.peek("somebody")).remaining).toBe(8);
    },
  );

  it.each(["fetch", "hono"])(
    "passes a refund on %s to the waitUntil of a worker, and responds before it",
    async (on) => {
      const limiter = of(9);
      let decide: ((isRefunded: boolean) => void) | undefined;
      const refundWhen = (): Promise<boolean> => new Promise((resolve) => (decide = resolve));
      const options = { limiter, key, refundWhen };
      const pending: Promise<unknown>[] = [];
      const context = {
        waitUntil: (work: Promise<unknown>) => void pending.push(work),
        passThroughOnException: () => undefined,
        props: {},
      };
      const app = new Hono();
      app.use(onHono(options)).get("/", (hono) => hono.text("in"));
      const handler: (request: Request, ...rest: object[]) => Promise<Response> = withRateLimit(
        () => new Response("in"),
        options,
      );
      const { status } = await (on === "hono" ? app.fetch(request(), {}, context) : handler(request(), {}, context));
      expect(status).toBe(200);
      decide?.(true);
      await Promise.all(pending);
      expect(pending).toHaveLength(1);
      expect((await limiter.peek("somebody")).remaining).toBe(9);
    },
  );

  it.each(["fetch", "hono"])(
    "frees on %s the place of a request whose signal is aborted while it waits",
    async (on) => {
      const limiter = of(1);
      const options = { limiter, key, wait: { maxQueue: 1 } };
      const app = new Hono();
      app.use(onHono(options)).get("/", (hono) => hono.text("in"));
      const handler = withRateLimit<Request, Response, []>(() => new Response("in"), options);
      const handle = async (signal?: AbortSignal): Promise<Response> => {
        const sent = new Request("https://example.org/", { ...(signal && { signal }) });
        return on === "hono" ? app.request(sent) : handler(sent);
      };
      expect((await handle()).status).toBe(200);
      const hangingUp = new AbortController();
      const waiting = handle(hangingUp.signal);
      await new Promise((resolve) => setTimeout(resolve, 5));
      expect((await handle()).status).toBe(429);
      hangingUp.abort();
      expect((await waiting).status).toBe(400);
      const next = handle();
      limiter.setMaxCalls(2);
      expect((await next).status).toBe(200);
    },
  );

  it("throws a TypeError if the handler is not a function", () => {
    expect(() => withRateLimit("handler" as never, { limiter: of(1) })).toThrow(/^Expected `handler` to be a function/);
  });
});
