import fastify, { type FastifyInstance, type FastifyRequest } from "fastify";
import { AsyncRateLimiter, RATE_LIMITS } from "sluicegate";
import { clientKey, rateLimit } from "sluicegate/fastify";

/** The user of a request; null where nobody is logged in. A real app looks into its session. */
const userOf = ({ headers }: FastifyRequest): string | null =>
  /^Bearer (\w+)$/.exec(headers.authorization ?? "")?.[1] ?? null;

/** Who is logged in, or else where the request comes from. Told apart, so that no user can be called like an address. */
const userOrClient = (request: FastifyRequest): string => {
  const user = userOf(request);
  return user === null ? `ip:${clientKey(request)}` : `user:${user}`;
};

/** An app with a limit on all of it, for each address and each user, and narrower ones on what is dear or dangerous. */
export async function createApp(): Promise<FastifyInstance> {
  const app = fastify();

  // What is registered out here counts every request, those for unknown routes as well.
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

  // Inside, the plugin is registered again without a limiter: the routes have their own, beside the one of all.
  await app.register(async (narrow) => {
    await narrow.register(rateLimit, { key: userOrClient });

    // Only failures count, and they count before the password is looked at: of many guesses at once five get through.
    const login = { limiter: logins, key: clientKey, refundWhen: (_: FastifyRequest, status: number) => status < 400 };
    narrow.post("/login", { config: { rateLimit: login } }, async (request, reply) => {
      const { password } = request.body as { password?: unknown };
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
