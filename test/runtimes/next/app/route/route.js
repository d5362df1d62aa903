import { AsyncRateLimiter } from "sluicegate";
import { rateLimitOf, withRateLimit } from "sluicegate/fetch";

const limiter = new AsyncRateLimiter({ maxCalls: 2, period: "1h", bypass: false });
const left = (request) => new Response(String(rateLimitOf(request).remaining));
export const GET = withRateLimit(left, { limiter, client: { header: "x-client" } });
