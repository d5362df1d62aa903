import { warnOnce } from "../core/callbacks.js";

/** The number of equal requests with a new limiter each that triggers the warning. */
const EQUAL_REQUESTS = 3;

/** The maximum number of identities kept. An identity can be as large as the headers of a request. */
const MAX_IDENTITIES = 100;

/** How many limiters were created for requests of each identity. */
const timesByIdentity = new Map<string, number>();

/**
 * Notes that an in-memory limiter was created for a request, and warns if equal requests repeatedly create new limiters. Such
 * limiters allow every request.
 *
 * A limiter that is created at the first request of a tenant and then reused does not trigger the warning.
 *
 * @param identity - a string that is equal for equal requests of one client.
 */
export function noteMadeFor(identity: string): void {
  if (timesByIdentity.size >= MAX_IDENTITIES) timesByIdentity.clear();
  const times = (timesByIdentity.get(identity) ?? 0) + 1;
  timesByIdentity.set(identity, times);
  if (times < EQUAL_REQUESTS) return;
  warnOnce(
    "SLUICEGATE_LIMITER_PER_REQUEST",
    "A limiter is made for each request, so it limits nothing. Make it once, outside of the handler",
    `${times} equal requests had a new limiter each. \`warnings: false\` switches this warning off.`,
  );
}

/** Matches the stack frames of request handling: the servers of Node, and the routers of Express 4 and 5. */
const HANDLER_FRAME = /node:_http_server|node:internal\/http2|\bLayer\.handle/;

/** The number of stack frames to capture, more than the routers of an app add. */
const STACK_DEPTH = 100;

/** Whether the stack shows that a request is being handled. Always false on platforms whose stacks lack such frames. */
export function isHandlingRequest(): boolean {
  const errorClass = Error as { stackTraceLimit?: number };
  const { stackTraceLimit } = errorClass;
  if (stackTraceLimit === undefined) return false;
  try {
    errorClass.stackTraceLimit = STACK_DEPTH;
    return HANDLER_FRAME.test(new Error().stack ?? "");
  } catch {
    // `Error` is frozen (`--frozen-intrinsics`).
    return false;
  } finally {
    errorClass.stackTraceLimit = stackTraceLimit;
  }
}
