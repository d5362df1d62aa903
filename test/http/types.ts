import { createServer } from "node:http";
import { createServer as createHttp2Server } from "node:http2";
import connect from "connect";
import express, { type Request, type Response } from "express";
import fastify from "fastify";
import { Hono } from "hono";
import Koa from "koa";
import { AsyncRateLimiter, type Decision, LayeredRateLimiter, TieredRateLimiter, USER_TIERS } from "sluicegate";
import { clientKey } from "sluicegate/http";
import { rateLimit as onExpress } from "sluicegate/express";
import { rateLimit as onFastify } from "sluicegate/fastify";
import { rateLimit as onFetch, withRateLimit } from "sluicegate/fetch";
import { rateLimit as onHono, type RateLimitVariables } from "sluicegate/hono";
import { rateLimit as onKoa, type RateLimitState } from "sluicegate/koa";
import { RateLimit, RateLimitModule, requestOf } from "sluicegate/nest";
import { rateLimit as onNode } from "sluicegate/node";

/** What must compile, and what must not, against the real frameworks. It is type-checked and never run. */
export async function types(): Promise<unknown> {
  const limiter = new AsyncRateLimiter({ maxCalls: 1, period: "1m" });
  const users = new AsyncRateLimiter<`user:${string}`>({ maxCalls: 1, period: "1m" });
  const layered = new LayeredRateLimiter({ limits: [{ name: "Burst", maxCalls: 1, period: "1s" }] });
  const tiers = new TieredRateLimiter({ tiers: USER_TIERS });

  // Keys are checked by their type.
  onExpress({ limiter: users, key: () => "user:7" });
  // @ts-expect-error a key that is none of the limiter's
  onExpress({ limiter: users, key: () => "admin" });
  // @ts-expect-error addresses are no keys of this limiter
  onExpress({ limiter: users });
  // @ts-expect-error neither a limiter nor several
  onExpress({});
  // @ts-expect-error a limiter beside several
  onExpress({ limiter, limiters: { ip: { limiter } } });
  // @ts-expect-error no such format
  onExpress({ limiter, headers: "draft-5" });
  // @ts-expect-error a misspelt option
  onExpress({ limiter, whenDow: "allow" });
  // @ts-expect-error a tiered limiter needs the tier
  onExpress({ limiter: tiers });

  // The limit of a request: a number, or an object by name. The limiter decides at run time which of them it takes.
  onExpress({ limiter, maxCalls: 5 });
  onExpress({
    limiter: layered,
    maxCalls: async (request: Request) => Promise.resolve({ Burst: Number(request.get("x-calls")) }),
  });
  onExpress({ limiters: { ip: { limiter, maxCalls: (request: Request) => Number(request.get("x-calls")) } } });
  // @ts-expect-error not a number
  onExpress({ limiter, maxCalls: () => "5" });
  // @ts-expect-error each of several limiters has its own
  onExpress({ limiters: { ip: { limiter } }, maxCalls: 5 });

  const app = express();
  app.use(onExpress({ limiter }));
  app.post(
    "/login",
    onExpress({ limiter, key: (request) => String(request.headers["x-key"]) }),
    (request, response) => {
      const decision: Decision | undefined = request.rateLimit;
      response.json(decision);
    },
  );
  app.use(onExpress({ limiter: () => tiers.tier("free"), key: (request: Request) => request.ip ?? null }));
  app.use(
    onExpress({
      limiters: {
        ip: { limiter: layered },
        user: { limiter, key: (request: Request) => request.get("x-user") ?? null },
      },
      onRefused: (_request: Request, decision, response: Response) => response.status(420).json(decision.reason),
    }),
  );
  // Under a path and in a route, callbacks have the types of express, and handlers behind them keep the parameters of the path.
  app.use(
    "/api",
    onExpress({ limiter, key: (request) => request.ip ?? null, skip: (request) => request.get("x") === "" }),
  );
  app.get(
    "/books/:id",
    onExpress({
      limiter,
      key: (request) => request.get("x-key") ?? null,
      maxCalls: async (request) => Promise.resolve(Number(request.query["calls"])),
      onRefused: (_request, decision, response) => response.json(decision.reason),
    }),
    (request, response) => {
      response.send(request.params.id.toUpperCase());
    },
  );
  express.Router().use("/api", onExpress({ limiters: { ip: { limiter, key: (request) => request.hostname } } }));
  type Authenticated = Request & { readonly user: { readonly id: string } };
  const ofUser = onExpress({ limiter, key: (request: Authenticated) => request.user.id });
  // @ts-expect-error the requests of this app have no user
  app.use(ofUser);
  connect().use(onNode({ limiter, key: (request) => clientKey(request, { trustProxy: 1 }) }));
  connect().use("/api", onNode({ limiter, key: (request) => request.originalUrl ?? null }));
  const limit = onNode({ limiter });
  createServer((request, response) => limit(request, response, () => response.end()));
  createHttp2Server((request, response) => limit(request, response, () => response.end()));

  const server = fastify();
  await server.register(onFastify, { limiter, key: (request) => request.ip });
  await server.register(onFastify);
  server.get("/", { config: { rateLimit: { limiter, key: (request) => request.hostname } } }, async (request) => {
    const decision: Decision | null = request.rateLimit;
    return decision?.remaining;
  });
  server.get("/open", { config: { rateLimit: false } }, async () => "open");
  // @ts-expect-error no such format
  server.get("/wrong", { config: { rateLimit: { limiter, headers: "draft-5" } } }, async () => "wrong");

  await server.register(onFastify, { limiter: users, hook: "preHandler", key: (request) => `user:${request.ip}` });
  // @ts-expect-error no such hook
  await server.register(onFastify, { limiter, hook: "onSend" });
  // @ts-expect-error an option of a route
  await server.register(onFastify, { limiter, replaces: "all" });
  server.get(
    "/own",
    { config: { rateLimit: { limiter, hook: "preValidation", replaces: "none" } } },
    async () => "own",
  );
  // @ts-expect-error no such choice
  server.get("/wrong", { config: { rateLimit: { limiter, replaces: "outer" } } }, async () => "wrong");
  // @ts-expect-error where the hook is listed decides when it runs
  server.rateLimit({ limiter, hook: "preHandler" });
  const byRequest = server.rateLimit({ limiter: layered, key: (request) => request.hostname });
  server.post<{ Body: { email: string } }>(
    "/hooks",
    {
      onRequest: server.rateLimit(),
      preParsing: [server.rateLimit({ cost: 2 })],
      preValidation: byRequest,
      preHandler: [async () => undefined, byRequest],
    },
    async (request) => request.body.email,
  );
  server.addHook("preParsing", byRequest);
  server.setNotFoundHandler({ preHandler: server.rateLimit(), preValidation: [byRequest] }, (_, reply) => reply.send());
  server.setNotFoundHandler({ config: { rateLimit: false } }, (_, reply) => reply.send());
  const overHttp2 = fastify({ http2: true });
  overHttp2.get("/", { preHandler: overHttp2.rateLimit({ limiter }) }, async () => "in");

  const koa = new Koa<RateLimitState>();
  koa.use(onKoa({ limiter, key: (context) => context.cookies.get("session") ?? null }));
  koa.use((context) => {
    const decision: Decision | undefined = context.state.rateLimit;
    context.body = decision;
  });

  const hono = new Hono<{ Variables: RateLimitVariables }>();
  hono.use(onHono({ limiter, key: (context) => context.req.header("x-key") ?? null }));
  hono.get("/", onHono({ limiter: layered, client: { header: "cf-connecting-ip" } }), (context) => {
    const decision: Decision | undefined = context.get("rateLimit");
    return context.json(decision);
  });
  new Hono().use("/api/*", onHono({ limiter, key: (context) => context.req.param("id") ?? null }));
  hono.get(
    "/books/:id",
    onHono({ limiter, key: (context) => context.req.query("key") ?? null, onRefused: (context) => context.json({}) }),
    (context) => context.text(context.req.param("id").toUpperCase() + String(context.get("rateLimit")?.remaining)),
  );

  const handler = withRateLimit(
    async (request: Request & globalThis.Request, env: { name: string }) => {
      return new Response(`${request.url} ${env.name}`);
    },
    { limiter },
  );
  const route: (request: globalThis.Request) => Promise<globalThis.Response> = onFetch({ limiter })(
    (request: globalThis.Request) => new globalThis.Response(request.url),
  );

  class Config {
    readonly maxCalls = 1;
  }
  const modules = [
    RateLimitModule.forRoot({ limiter, key: (context) => context.getHandler().name, skip: () => false }),
    RateLimitModule.forRoot({ limiter: (context) => tiers.tier(context.getType() === "http" ? "free" : "premium") }),
    RateLimitModule.forRoot({ limiter: users, key: () => "user:7" }),
    RateLimitModule.forRoot({
      limiters: { ip: { limiter }, user: { limiter: layered, key: () => null } },
      default: ["ip"],
    }),
    RateLimitModule.forRoot({ key: (context) => clientKey(requestOf(context)!) }),
    RateLimitModule.forRootAsync({
      inject: [Config],
      useFactory: async ({ maxCalls }: Config) => ({ limiter, maxCalls }),
    }),
    // @ts-expect-error a key that is none of the limiter's
    RateLimitModule.forRoot({ limiter: users, key: () => "admin" }),
    // @ts-expect-error there are no names
    RateLimitModule.forRoot({ limiter, default: ["ip"] }),
    // @ts-expect-error a refusal is always thrown
    RateLimitModule.forRoot({ limiter, throw: true }),
    // @ts-expect-error no exception
    RateLimitModule.forRoot({ limiter, onRefused: () => "refused" }),
    // @ts-expect-error a limit without a period
    RateLimit("ip", { maxCalls: 1 }),
    RateLimit("ip", { maxCalls: 1, period: "1m", lockFor: "5m", key: (context) => context.getClass().name }),
  ];
  return [handler, route, modules];
}
