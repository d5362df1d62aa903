import { warnOnce } from "../core/callbacks.js";
import { monotonicClock } from "../core/clock.js";
import type { RequestView } from "./request-view.js";
import type { NodeResponse } from "./response-end.js";

/** The members of a limiter of a middleware that are read here. */
interface CountingLimiter {
  readonly limiter: object;
  readonly name: string | undefined;
  /** The number of further calls to note. Later calls cost nothing. */
  callsToNote: number;
}

/** A call that counted a request, in a linked list with the calls before it. */
interface RequestCall {
  readonly limiter: object;
  readonly key: string;
  readonly cost: number;
  /** The target of the request at the time of the call; undefined if the framework does not rewrite it. */
  readonly target: string | undefined;
  readonly previous: RequestCall | undefined;
  readonly callsBefore: number;
}

/** The maximum number of calls noted for one request object, because an object that is reused must not grow. */
const MAX_CALLS = 16;

/** The property of the request that contains its last call. A WeakMap entry for each request would slow the garbage collector. */
const LAST_CALL = Symbol("sluicegate latest call");

interface Noted {
  [LAST_CALL]?: RequestCall;
}

/**
 * Notes that a limiter counts a request, and warns if the same limiter has already counted it with the same key and cost. That
 * happens if a middleware is on both a router and its route, and halves the limit.
 *
 * A request whose target was rewritten since then counts as another request. A second call with another cost is intentional.
 */
export function noteCall<R>(
  request: R,
  checked: CountingLimiter,
  key: string,
  cost: number | undefined,
  misuse: Pick<RequestView<R>, "target"> | undefined,
): void {
  if (misuse === undefined || checked.callsToNote === 0) return;
  checked.callsToNote -= 1;
  if (typeof request !== "object" || request === null) return;
  const { limiter, name } = checked;
  const target = misuse.target?.(request);
  const last = (request as Noted)[LAST_CALL];
  for (let call = last; call !== undefined; call = call.previous) {
    if (call.limiter === limiter && call.key === key && call.cost === (cost ?? 1) && call.target === target) {
      warnCountedTwice(name);
    }
  }
  const callsBefore = last === undefined ? 0 : last.callsBefore + 1;
  const current: RequestCall = { limiter, key, cost: cost ?? 1, target, previous: last, callsBefore };
  // An assignment would throw if the request is frozen, or is a proxy that rejects new properties.
  if (callsBefore < MAX_CALLS) Reflect.set(request, LAST_CALL, current);
}

function warnCountedTwice(name: string | undefined): void {
  warnOnce(
    "SLUICEGATE_COUNTED_TWICE",
    "A limiter counted one request twice, which halves its limit. Apply its middleware once to each request",
    `The limiter is ${name === undefined ? "one without a name" : `"${name}"`}. \`warnings: false\` switches this warning off.`,
  );
}

/** The time in which an `onRefused` that has ended surely begins its response, such as that of a template or a file. */
const SENDING_MS = 1000;

/** Warns if an `onRefused` that has ended leaves its request open until the client gives up. */
export function warnIfUnanswered(response: NodeResponse): void {
  const endedAt = monotonicClock.now();
  response.once("close", () => {
    if (response.headersSent || monotonicClock.now() - endedAt < SENDING_MS) return;
    warnOnce(
      "SLUICEGATE_NO_RESPONSE",
      "onRefused ended without a response, so the client waited until it gave up. Send the response there",
      "What onRefused returns is no response on this framework. `warnings: false` switches this warning off.",
    );
  });
}

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
