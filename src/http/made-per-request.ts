import { warnOnce } from "../core/callbacks.js";

/** So many equal requests, each with a limiter of its own, leave no doubt. */
const EQUAL_REQUESTS = 3;

/** The most requests that are remembered, which are as large as their headers. */
const MOST_REQUESTS = 100;

/** How often each request has come that a limiter was made for, by what tells requests apart. */
const requests = new Map<string, number>();

/**
 * Notes that a limiter in memory was made for a request, and warns when equal requests get new limiters again and again: such
 * limiters admit everything.
 *
 * A limiter that is made at the first request of a tenant is found again at the next, so no equal requests make several.
 *
 * @param identity - what tells the request from others: equal for equal requests of one client.
 */
export function noteMadeFor(identity: string): void {
  if (requests.size >= MOST_REQUESTS) requests.clear();
  const times = (requests.get(identity) ?? 0) + 1;
  requests.set(identity, times);
  if (times < EQUAL_REQUESTS) return;
  warnOnce(
    "SLUICEGATE_LIMITER_PER_REQUEST",
    "A limiter is made for each request, so it limits nothing. Make it once, outside of the handler",
    `${times} equal requests had a new limiter each. \`warnings: false\` switches this warning off.`,
  );
}

/** Frames of a stack within the handling of a request: those of Node's servers, and of the routers of express 4 and 5. */
const HANDLING = /node:_http_server|node:internal\/http2|\bLayer\.handle/;

/** More frames than the routers of an app leave on the stack. */
const FRAMES = 100;

/** Whether a request is being handled now, as far as the stack tells; false on platforms whose stacks do not. */
export function isHandlingRequest(): boolean {
  const holder = Error as { stackTraceLimit?: number };
  const { stackTraceLimit } = holder;
  if (stackTraceLimit === undefined) return false;
  try {
    holder.stackTraceLimit = FRAMES;
    return HANDLING.test(new Error().stack ?? "");
  } catch {
    // Frozen intrinsics.
    return false;
  } finally {
    holder.stackTraceLimit = stackTraceLimit;
  }
}
