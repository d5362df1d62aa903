import { once } from "node:events";
import type { AddressInfo } from "node:net";
import websocket from "@fastify/websocket";
import fc from "fast-check";
import fastify, {
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
  type RouteShorthandOptions,
} from "fastify";
import fastify4 from "fastify4";
import { AsyncRateLimiter, type RateLimitExceededError } from "sluicegate";
import { type HookName, rateLimit } from "sluicegate/fastify";
import { ManualClock } from "sluicegate/testing";
import { afterEach, describe, expect, it, vi } from "vitest";
import { WebSocket } from "ws";

const HOOKS: readonly HookName[] = ["onRequest", "preParsing", "preValidation", "preHandler"];
const VERSIONS = [
  ["fastify 5", fastify],
  ["fastify 4", fastify4 as unknown as typeof fastify],
] as const;

const clock = new ManualClock();
const of = (maxCalls: number, name?: string): AsyncRateLimiter => {
  return new AsyncRateLimiter({ maxCalls, period: "1m", clock, name });
};
const key = (): string => "somebody";

type Authenticated = FastifyRequest & { user?: string };

/** A hook that authenticates by a header, as a plugin of fastify does. */
async function authenticate(request: FastifyRequest, reply: FastifyReply): Promise<unknown> {
  const user = request.headers["x-user"];
  if (typeof user !== "string") return reply.code(401).send("who?");
  (request as Authenticated).user = user;
  return undefined;
}

/** The key of an authenticated request. Without a user it is undefined, which is an error. */
const byUser = (request: FastifyRequest): string => (request as Authenticated).user as string;

describe.each(VERSIONS)("on %s", (_, create) => {
  const created: FastifyInstance[] = [];
  const make = (options: object = {}): FastifyInstance => {
    const app = create(options) as unknown as FastifyInstance;
    created.push(app);
    return app;
  };
  afterEach(async () => {
    for (const app of created.splice(0)) await app.close();
    clock.set(0);
  });

  /** The statuses of requests, one after another. */
  const statuses = async (app: FastifyInstance, ...sent: readonly (string | object)[]): Promise<number[]> => {
    const seen = [];
    for (const request of sent) seen.push((await app.inject(request)).statusCode);
    return seen;
  };
  const as = (user: string, url = "/"): object => ({ url, headers: { "x-user": user } });

  describe("the option `hook` of a registration", () => {
    it.each(HOOKS)(
      "%s makes the limit run in this phase, between the hooks of the app and those of the route",
      async (hook) => {
        const order: string[] = [];
        const note = (what: string) => async (): Promise<void> => void order.push(what);
        const app = make();
        for (const phase of HOOKS) app.addHook(phase, note(`app ${phase}`));
        await app.register(rateLimit, { limiter: of(1), hook, key: () => (order.push("limit"), "somebody") });
        const own = Object.fromEntries(HOOKS.map((phase) => [phase, note(`route ${phase}`)]));
        app.get("/", own as RouteShorthandOptions, async () => "in");

        expect((await app.inject("/")).statusCode).toBe(200);
        expect(order).toEqual(
          HOOKS.flatMap((phase) => [`app ${phase}`, ...(phase === hook ? ["limit"] : []), `route ${phase}`]),
        );
        order.length = 0;
        const refused = await app.inject("/");
        expect([refused.statusCode, refused.headers["content-type"]]).toEqual([429, "application/problem+json"]);
        expect(order.at(-1)).toBe("limit");
      },
    );

    it("preHandler counts by the user whom a hook of the route has authenticated, and no request without a user", async () => {
      const limiter = of(1);
      const app = make();
      await app.register(rateLimit, { limiter, hook: "preHandler", key: byUser });
      app.get("/", { onRequest: authenticate }, async () => "in");
      expect(await statuses(app, as("ada"), as("ada"), as("ben"), "/", "/")).toEqual([200, 429, 200, 401, 401]);
    });

    it("preValidation passes the body to `key`, and preHandler counts no invalid request", async () => {
      const schema = { body: { type: "object", required: ["email"] } };
      const of1 = async (hook: HookName): Promise<FastifyInstance> => {
        const app = make();
        const byEmail = ({ body }: FastifyRequest): string => String((body as { email?: string }).email);
        await app.register(rateLimit, { limiter: of(1), hook, key: byEmail });
        app.post("/", { schema }, async () => "in");
        return app;
      };
      const post = (payload: object): object => ({ method: "POST", url: "/", payload });
      const [ada, empty] = [post({ email: "ada" }), post({})];
      expect(await statuses(await of1("preValidation"), ada, ada, empty, empty)).toEqual([200, 429, 400, 429]);
      expect(await statuses(await of1("preHandler"), ada, ada, empty, empty)).toEqual([200, 429, 400, 400]);
    });

    it("preHandler counts a request once that a route passes to the not-found handler", async () => {
      const limiter = of(9);
      const app = make();
      await app.register(rateLimit, { limiter, hook: "preHandler", key });
      app.get("/", (_request, reply) => {
        reply.callNotFound();
      });
      expect(await statuses(app, "/", "/nowhere")).toEqual([404, 404]);
      expect((await limiter.peek("somebody")).remaining).toBe(7);
    });
  });

  describe("the option `hook` of a route", () => {
    it.each(HOOKS)("%s makes its limit run behind the hooks of the route in this phase", async (hook) => {
      const app = make();
      await app.register(rateLimit, { limiter: of(0), key });
      const own = { limiter: of(1), hook, key: byUser };
      app.get("/", { [hook]: authenticate, config: { rateLimit: own } }, async () => "in");
      app.get("/list", { [hook]: [authenticate], config: { rateLimit: own } }, async () => "in");
      app.get("/alone", { onRequest: authenticate, config: { rateLimit: own } }, async () => "in");
      expect(await statuses(app, as("ada"), as("ada"), as("ben"), "/")).toEqual([200, 429, 200, 401]);
      expect(await statuses(app, as("cem", "/list"), as("cem", "/alone"))).toEqual([200, 429]);
    });

    it("counts HEAD requests of a GET route once, and those of a route with two paths", async () => {
      const limiter = of(9);
      const app = make({ exposeHeadRoutes: true });
      await app.register(rateLimit, { key });
      await app.register(
        async (inside) => {
          inside.get("/", { config: { rateLimit: { limiter, hook: "preHandler" } } }, async () => "in");
        },
        { prefix: "/inside" },
      );
      for (const [at, url] of ["/inside", "/inside/"].entries()) {
        expect((await app.inject(url)).headers["ratelimit"]).toBe(`"9-in-1m";r=${8 - 2 * at};t=60`);
        const head = await app.inject({ method: "HEAD", url });
        expect([head.statusCode, head.headers["ratelimit"]]).toEqual([200, `"9-in-1m";r=${7 - 2 * at};t=60`]);
      }
    });

    it("is an error for each request of a not-found handler, and of a route that was added before the plugin was loaded", async () => {
      const own = { config: { rateLimit: { limiter: of(9), hook: "preHandler" as const } } };
      const app = make();
      void app.register(rateLimit, { key });
      app.get("/early", own, async () => "in");
      app.setNotFoundHandler(own, (_request, reply) => reply.code(404).send("no"));
      for (const url of ["/early", "/nowhere"]) {
        const failed = await app.inject(url);
        expect(failed.statusCode).toBe(500);
        expect(failed.json()).toMatchObject({
          message: expect.stringMatching(
            /^Expected `config\.rateLimit\.hook` to be absent in a not-found handler, .*got `preHandler`/,
          ) as string,
        });
      }
    });
  });

  describe("the options of a registration and of a route", () => {
    it.each<[object, RegExp]>([
      [
        { hook: "onResponse" },
        /^Expected `hook` to be "onRequest" or "preParsing" or .* or "preHandler", got `onResponse`/,
      ],
      [{ hook: null }, /^Expected `hook` to be "onRequest" .*got `null`/],
      [{ replaces: "all" }, /^Expected `replaces` to be one of the options limiter/],
      [{ max: 5 }, /^Expected `max` to be `maxCalls` of the `limiter`, or /],
    ])("of a registration %j are refused in words", async (options, message) => {
      await expect(make().register(rateLimit, options)).rejects.toThrow(message);
    });

    it.each<[object, RegExp]>([
      [{ hook: "onSend" }, /^Expected `config\.rateLimit\.hook` to be "onRequest" or .* or "preHandler", got `onSend`/],
      [
        { replaces: "outer" },
        /^Expected `config\.rateLimit\.replaces` to be "nearest" or "all" or "none", got `outer`/,
      ],
      [
        { replaces: "none", cost: 2 },
        /^Expected `config\.rateLimit\.limiter` to be a limiter, because `replaces` is "none", got `undefined`/,
      ],
      [{ max: 5, timeWindow: "1 minute" }, /^Expected `max` to be `maxCalls` of the `limiter`, or /],
      [{ keyGenerator: key }, /^Expected `keyGenerator` to be `key`, or /],
    ])("of a route %j are refused in words when the route is added", async (own, message) => {
      const app = make();
      await app.register(rateLimit, { limiter: of(1) });
      expect(() => app.get("/", { config: { rateLimit: own as never } }, async () => "in")).toThrow(message);
    });

    it.each<[unknown, RegExp]>([
      [{ hook: "preHandler" }, /^Expected `hook` to be one of the options limiter/],
      [{ max: 5 }, /^Expected `max` to be `maxCalls` of the `limiter`, or /],
      [{ cost: 2 }, /^Expected `limiter` to be a limiter, because the plugin has none, got `undefined`/],
      [undefined, /^Expected `limiter` to be a limiter, because the plugin has none, got `undefined`/],
      [null, /^Expected `options` to be an object of options, got `null`/],
    ])("of app.rateLimit %j are refused in words when it is called", async (options, message) => {
      const app = make();
      await app.register(rateLimit, { key });
      expect(() => app.rateLimit(options as never)).toThrow(message);
    });
  });

  it("runs no limit of a route beside that of the registration if that one throws its refusal", async () => {
    const own = of(9);
    const app = make();
    await app.register(rateLimit, { limiter: of(0), key, throw: true });
    app.get("/", { config: { rateLimit: { limiter: own, replaces: "none" } } }, async () => "in");
    expect(await statuses(app, "/")).toEqual([429]);
    expect((await own.state("somebody")).calls).toBe(0);
  });

  describe("app.rateLimit", () => {
    it("limits one handler in addition to the registrations around it, with the other options of the nearest one", async () => {
      const app = make();
      await app.register(rateLimit, { limiter: of(9, "app"), key });
      app.post("/login", { preHandler: app.rateLimit({ limiter: of(1, "login") }) }, async (request) => ({
        left: request.rateLimit?.remaining,
      }));
      app.get("/", async () => "in");
      const first = await app.inject({ method: "POST", url: "/login" });
      expect(first.headers["ratelimit-policy"]).toBe(`"app";q=9;w=60, "login";q=1;w=60`);
      expect(first.json()).toEqual({ left: 0 });
      const refused = await app.inject({ method: "POST", url: "/login" });
      expect([refused.statusCode, refused.headers["ratelimit"]]).toEqual([429, `"app";r=7;t=60, "login";r=0;t=60`]);
      expect((await app.inject("/")).headers["ratelimit"]).toBe(`"app";r=6;t=60`);
    });

    it.each(HOOKS)("in the phase %s counts by the user behind the hook that authenticates", async (hook) => {
      const app = make();
      await app.register(rateLimit);
      const limit = app.rateLimit({ limiter: of(1), key: byUser });
      app.get("/", { [hook]: [authenticate, limit] }, async () => "in");
      expect(await statuses(app, as("ada"), as("ada"), as("ben"), "/")).toEqual([200, 429, 200, 401]);
    });

    it("limits a not-found handler, in each phase that it has, beside the handlers of apps inside", async () => {
      const notFound = (_: FastifyRequest, reply: FastifyReply): FastifyReply => reply.code(404).send("no");
      const app = make();
      await app.register(rateLimit, { key });
      app.setNotFoundHandler({ preHandler: app.rateLimit({ limiter: of(1) }) }, notFound);
      await app.register(
        async (inside) => {
          inside.setNotFoundHandler(
            { preValidation: [authenticate, inside.rateLimit({ limiter: of(1), key: byUser })] },
            notFound,
          );
        },
        { prefix: "/inside" },
      );
      app.get("/", async () => "in");
      expect(await statuses(app, "/a", "/b", "/", "/")).toEqual([404, 429, 200, 200]);
      const inside = [as("ada", "/inside/a"), as("ada", "/inside/b"), as("ben", "/inside/a"), "/inside/a"];
      expect(await statuses(app, ...inside)).toEqual([404, 429, 404, 401]);
    });

    it("without options is the limit of the nearest registration, which counts a request once", async () => {
      const [outer, inner] = [of(99, "outer"), of(99, "inner")];
      const app = make();
      await app.register(rateLimit, { limiter: outer, key });
      app.setNotFoundHandler({ preHandler: app.rateLimit() }, (_request, reply) => reply.code(404).send("no"));
      await app.register(async (inside) => {
        await inside.register(rateLimit, { limiter: inner, key, hook: "preValidation" });
        inside.get("/before", { onRequest: inside.rateLimit() }, async () => "in");
        inside.get("/after", { preHandler: [inside.rateLimit(), inside.rateLimit()] }, async () => "in");
        const off = { config: { rateLimit: false } } as const;
        inside.get("/only", { ...off, preHandler: inside.rateLimit() }, async () => "in");
        inside.get("/off", off, async () => "in");
      });
      const countedBy = async (url: string): Promise<number[]> => {
        const before = [await outer.state("somebody"), await inner.state("somebody")];
        await app.inject(url);
        const after = [await outer.state("somebody"), await inner.state("somebody")];
        return after.map(({ calls }, at) => calls - (before[at]?.calls ?? 0));
      };
      expect(await countedBy("/nowhere")).toEqual([1, 0]);
      expect(await countedBy("/before")).toEqual([1, 1]);
      expect(await countedBy("/after")).toEqual([1, 1]);
      expect(await countedBy("/only")).toEqual([0, 1]);
      expect(await countedBy("/off")).toEqual([0, 0]);
    });

    it("is there in the app that registers the plugin and in those inside, and in no other", async () => {
      const app = make();
      await app.register(async (inside) => {
        await inside.register(rateLimit);
        await inside.register(async (further) => expect(further.hasDecorator("rateLimit")).toBe(true));
      });
      expect(app.hasDecorator("rateLimit")).toBe(false);
    });

    it("passes a refusal to the error handler of its app with `throw: true`, and an error of `key` as well", async () => {
      const app = make();
      app.setErrorHandler((error: RateLimitExceededError | Error, _request, reply) =>
        reply.code("status" in error ? error.status : 418).send("code" in error ? error.code : error.message),
      );
      await app.register(rateLimit, { limiter: of(0), key, throw: true, hook: "preHandler" });
      app.get("/", async () => "in");
      const broken = app.rateLimit({
        key: () => {
          throw new Error("no key");
        },
      });
      app.get("/broken", { config: { rateLimit: false }, preValidation: broken }, async () => "in");
      const refused = await app.inject("/");
      expect([refused.statusCode, refused.body]).toEqual([429, "RATE_LIMIT_EXCEEDED"]);
      const failed = await app.inject("/broken");
      expect([failed.statusCode, failed.body]).toEqual([418, "no key"]);
    });
  });

  it("counts each request in the limits that its route and the registrations around it name, and once in each", async () => {
    const anyHook = fc.constantFrom(...HOOKS);
    const anyRoute = fc.oneof(
      fc.constant(undefined),
      fc.constant(false as const),
      fc.record({
        replaces: fc.constantFrom(undefined, "nearest" as const, "all" as const, "none" as const),
        hook: fc.option(anyHook, { nil: undefined }),
      }),
    );
    const anyHandler = fc.array(fc.tuple(anyHook, fc.constantFrom("extra", "nearest")), { maxLength: 3 });
    await fc.assert(
      fc.asyncProperty(
        fc.array(anyHook, { minLength: 1, maxLength: 3 }),
        anyRoute,
        anyHandler,
        async (around, route, handlers) => {
          const limiters = around.map(() => of(99));
          const [own, extra] = [of(99), of(99)];
          const app = make();
          const open = async (inside: FastifyInstance, depth: number): Promise<void> => {
            await inside.register(rateLimit, {
              limiter: limiters[depth] as AsyncRateLimiter,
              hook: around[depth],
              key,
            });
            if (depth + 1 < around.length) {
              await inside.register((further) => open(further, depth + 1));
              return;
            }
            const hooks: Partial<Record<HookName, object[]>> = {};
            for (const [phase, what] of handlers) {
              const hook =
                what === "extra" ? inside.rateLimit({ limiter: extra, warnings: false }) : inside.rateLimit();
              (hooks[phase] ??= []).push(hook);
            }
            const rateLimitOf = route === undefined || route === false ? route : { ...route, limiter: own };
            inside.get("/", { ...(hooks as object), config: { rateLimit: rateLimitOf } }, async () => "in");
          };
          await open(app, 0);
          expect((await app.inject("/")).statusCode).toBe(200);

          const isOwn = route !== undefined && route !== false;
          const replaced = isOwn ? (route.replaces ?? "nearest") : route === false ? "all" : "none";
          const expected = around.map((_hook, depth) => {
            const isNearest = depth === around.length - 1;
            const isReplaced = replaced === "all" || (replaced === "nearest" && isNearest);
            return !isReplaced || (isNearest && handlers.some(([, what]) => what === "nearest")) ? 1 : 0;
          });
          const callsOf = async (limiter: AsyncRateLimiter): Promise<number> => (await limiter.state("somebody")).calls;
          expect(await Promise.all(limiters.map(callsOf))).toEqual(expected);
          expect(await callsOf(own)).toBe(isOwn ? 1 : 0);
          expect(await callsOf(extra)).toBe(handlers.filter(([, what]) => what === "extra").length);
          await app.close();
        },
      ),
      { numRuns: 200 },
    );
  });
});

describe("on fastify with @fastify/websocket", () => {
  it.each(HOOKS)("limits the opening of a connection in %s, and leaves its messages alone", async (hook) => {
    const handled = vi.fn();
    const app = fastify();
    await app.register(websocket);
    await app.register(rateLimit, { limiter: of(1), hook });
    app.get("/", { websocket: true }, (socket) => {
      handled();
      socket.on("message", (data: Buffer) => socket.send(`${String(data)} heard`));
    });
    await app.listen({ port: 0, host: "127.0.0.1" });
    const url = `ws://127.0.0.1:${(app.server.address() as AddressInfo).port}`;

    const first = new WebSocket(url);
    await once(first, "open");
    for (const word of ["one", "two", "three"]) {
      first.send(word);
      expect(String((await once(first, "message"))[0])).toBe(`${word} heard`);
    }
    const [error] = (await once(new WebSocket(url), "error")) as [Error];
    expect(error.message).toBe("Unexpected server response: 429");
    expect(handled).toHaveBeenCalledOnce();
    first.terminate();
    await app.close();
    clock.set(0);
  });
});
