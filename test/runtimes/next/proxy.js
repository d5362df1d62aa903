import { NextResponse } from "next/server";
import { AsyncRateLimiter } from "sluicegate";
import { rateLimitOf, withRateLimit } from "sluicegate/fetch";

const limiter = new AsyncRateLimiter({ maxCalls: 2, period: "1h", bypass: false });
const forward = (request) => {
  const headers = new Headers(request.headers);
  headers.set("x-left", String(rateLimitOf(request).remaining));
  return NextResponse.next({ request: { headers } });
};
export const proxy = withRateLimit(forward, { limiter, client: { header: "x-client" } });
export const config = { matcher: "/proxied" };
