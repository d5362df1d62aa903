import fastify, { type FastifyInstance, type FastifyRequest } from "fastify";
import { AsyncRateLimiter, RATE_LIMITS } from "sluicegate";
import { clientKey, rateLimit } from "sluicegate/fastify";

/** The user of a request; `null` without a login. A real app reads its session. */
const userOf = ({ headers }: FastifyRequest): string | null =>
  /^Bearer (\w+)$/.exec(headers.authorization ?? "")?.[1] ?? null;

/** The key of the user, or of the address without a login. The prefixes keep a user name from equalling an address. */
const userOrClient = (request: FastifyRequest): string => {
  const user = userOf(request);
  return user === null ? `ip:${clientKey(request)}` : `user:${user}`;
};

/** An app with a limit on all requests, for each address and each user, and stricter limits on single routes. */
export async function createApp(): Promise<FastifyInstance> {
  const app = fastify();

  // This registration counts every request, including those for unknown routes.
  await app.register(rateLimit, {
    limiters: {
      ip: { limiter: new AsyncRateLimiter({ maxCalls: 1000, period: "1h" }) },
      user: { limiter: new AsyncRateLimiter({ maxCalls: 500, period: "1h" }), key: userOf },
    },
  });
  app.get("/", async (request) => ({ left: request.rateLimit?.remaining }));

  const logins = new AsyncRateLimiter({ ...RATE_LIMITS.login, name: "login" });
  const uploads = new AsyncRateLimiter({ ...RATE_LIMITS.apiUpload, name: "upload" });
  const mails = new AsyncRateLimiter({ maxCalls: 3, period: "1h", name: "email" });

  // The inner registration has no limiter: its routes have their own limits, in addition to the outer one.
  await app.register(async (narrow) => {
    await narrow.register(rateLimit, { key: userOrClient });

    // Only failures count, and a request counts before its password is verified: of many concurrent guesses, five are verified.
    const login = { limiter: logins, key: clientKey, refundWhen: (_: FastifyRequest, status: number) => status < 400 };
    narrow.post("/login", { config: { rateLimit: login } }, async (request, reply) => {
      const { password } = (request.body ?? {}) as { password?: unknown };
      return reply.code(password === "correct horse" ? 200 : 401).send();
    });
    narrow.post("/upload", { config: { rateLimit: { limiter: uploads } } }, async (_request, reply) => {
      return reply.code(201).send();
    });
    narrow.post("/email", { config: { rateLimit: { limiter: mails } } }, async (_request, reply) => {
      return reply.code(202).send();
    });
  });
  return app;
}

const app = await createApp();
console.log("listening on", await app.listen({ port: Number(process.env["PORT"] ?? 8080), host: "127.0.0.1" }));
