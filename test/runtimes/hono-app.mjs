import { Hono } from "hono";
import { AsyncRateLimiter } from "sluicegate";
import { rateLimit } from "sluicegate/hono";

const limit = () => new AsyncRateLimiter({ maxCalls: 2, period: "1h", bypass: false });
const left = (context) => context.text(String(context.get("rateLimit").remaining));

export const app = new Hono();
app.get("/socket", rateLimit({ limiter: limit() }), left);
app.get("/header", rateLimit({ limiter: limit(), client: { header: "x-client" } }), left);
