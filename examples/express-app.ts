import express, { type Express, type Request } from "express";
import { AsyncRateLimiter, RATE_LIMITS } from "sluicegate";
import { clientKey, rateLimit } from "sluicegate/express";

/** The user of a request; `null` without a login. A real app reads its session. */
const userOf = (request: Request): string | null =>
  /^Bearer (\w+)$/.exec(request.get("authorization") ?? "")?.[1] ?? null;

/** The key of the user, or of the address without a login. The prefixes keep a user name from equalling an address. */
const userOrClient = (request: Request): string => {
  const user = userOf(request);
  return user === null ? `ip:${clientKey(request)}` : `user:${user}`;
};

/** An app with a limit on all requests, for each address and each user, and stricter limits on single routes. */
export function createApp(): Express {
  const app = express();

  app.use(
    rateLimit({
      limiters: {
        ip: { limiter: new AsyncRateLimiter({ maxCalls: 1000, period: "1h" }) },
        user: { limiter: new AsyncRateLimiter({ maxCalls: 500, period: "1h" }), key: userOf },
      },
    }),
  );
  app.use(express.json());

  const logins = new AsyncRateLimiter({ ...RATE_LIMITS.login, name: "login" });
  const uploads = new AsyncRateLimiter({ ...RATE_LIMITS.apiUpload, name: "upload" });
  const mails = new AsyncRateLimiter({ maxCalls: 3, period: "1h", name: "email" });

  // Only failures count, and a request counts before its password is verified: of many concurrent guesses, five are verified.
  app.post("/login", rateLimit({ limiter: logins, refundWhen: (_, status) => status < 400 }), (request, response) => {
    const { password } = (request.body ?? {}) as { password?: unknown };
    response.status(password === "correct horse" ? 200 : 401).end();
  });
  app.post("/upload", rateLimit({ limiter: uploads, key: userOrClient }), (_request, response) => {
    response.status(201).end();
  });
  app.post("/email", rateLimit({ limiter: mails, key: userOrClient }), (_request, response) => {
    response.status(202).end();
  });
  app.get("/", (request, response) => {
    response.json({ left: request.rateLimit?.remaining });
  });
  return app;
}

const server = createApp().listen(Number(process.env["PORT"] ?? 8080), "127.0.0.1", () => {
  console.log("listening on", server.address());
});
