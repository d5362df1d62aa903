// One app of one framework with one limiter, or none: `node server.mjs express sluicegate`. Sends its port to its parent.
import { createServer } from "node:http";
import { AsyncRateLimiter } from "sluicegate";

const [framework, guard] = process.argv.slice(2);

/** Higher than any client reaches, so that no request is refused. */
const LIMIT = { maxCalls: 100_000, periodMs: 10_000 };
/** A header identifies the client, because all clients have the same address. */
const CLIENT = "x-client";
const limiter = () => new AsyncRateLimiter({ maxCalls: LIMIT.maxCalls, period: `${LIMIT.periodMs}ms` });

const APPS = {
  async express() {
    const { default: express } = await import("express");
    const app = express();
    if (guard === "sluicegate") {
      const { rateLimit } = await import("sluicegate/express");
      app.use(rateLimit({ limiter: limiter(), key: ({ headers }) => headers[CLIENT] }));
    }
    if (guard === "express-rate-limit") {
      const { rateLimit } = await import("express-rate-limit");
      app.use(
        rateLimit({
          windowMs: LIMIT.periodMs,
          limit: LIMIT.maxCalls,
          keyGenerator: ({ headers }) => headers[CLIENT],
          standardHeaders: "draft-8",
          legacyHeaders: false,
        }),
      );
    }
    app.get("/", (_request, response) => response.send("hello"));
    return listening(createServer(app));
  },
  async fastify() {
    const { default: fastify } = await import("fastify");
    const app = fastify();
    if (guard === "sluicegate") {
      const { rateLimit } = await import("sluicegate/fastify");
      await app.register(rateLimit, { limiter: limiter(), key: ({ headers }) => headers[CLIENT] });
    }
    if (guard === "@fastify/rate-limit") {
      const { default: plugin } = await import("@fastify/rate-limit");
      await app.register(plugin, {
        max: LIMIT.maxCalls,
        timeWindow: LIMIT.periodMs,
        keyGenerator: ({ headers }) => headers[CLIENT],
        enableDraftSpec: true,
      });
    }
    app.get("/", async () => "hello");
    await app.listen({ port: 0, host: "127.0.0.1" });
    return app.server.address().port;
  },
  async hono() {
    const { Hono } = await import("hono");
    const { createAdaptorServer } = await import("@hono/node-server");
    const app = new Hono();
    if (guard === "sluicegate") {
      const { rateLimit } = await import("sluicegate/hono");
      app.use(rateLimit({ limiter: limiter(), key: (context) => context.req.header(CLIENT) }));
    }
    if (guard === "hono-rate-limiter") {
      const { rateLimiter } = await import("hono-rate-limiter");
      app.use(
        rateLimiter({
          windowMs: LIMIT.periodMs,
          limit: LIMIT.maxCalls,
          standardHeaders: "draft-7",
          keyGenerator: (context) => context.req.header(CLIENT),
        }),
      );
    }
    app.get("/", (context) => context.text("hello"));
    return listening(createAdaptorServer({ fetch: app.fetch }));
  },
};

function listening(server) {
  return new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(server.address().port)));
}

// Processor time per request says more than their rate, which depends on the load of the client.
process.on("message", () => {
  const { user, system } = process.cpuUsage();
  process.send({ cpuUs: user + system });
});
process.send({ port: await APPS[framework]() });
