import { warnOnce } from "../core/callbacks.js";
import type { CheckedLimiter } from "./http-limiter.js";
import type { RequestView } from "./request-view.js";

/** The members of a `CheckedLimiter` that do not depend on the type of its keys. */
interface CountingLimiter extends Pick<CheckedLimiter, "name" | "callsToNote"> {
  readonly limiter: object;
}

/** A call that counted a request, in a linked list with the calls before it. */
interface RequestCall {
  readonly limiter: object;
  readonly key: string;
  readonly cost: number;
  /** The target of the request at the time of the call; undefined if the framework does not rewrite it. */
  readonly target: string | undefined;
  readonly previous: RequestCall | undefined;
  /** The number of calls before this one. */
  readonly place: number;
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
  const place = last === undefined ? 0 : last.place + 1;
  const current: RequestCall = { limiter, key, cost: cost ?? 1, target, previous: last, place };
  // An assignment would throw if the request is frozen, or is a proxy that rejects new properties.
  if (place < MAX_CALLS) Reflect.set(request, LAST_CALL, current);
}

function warnCountedTwice(name: string | undefined): void {
  warnOnce(
    "SLUICEGATE_COUNTED_TWICE",
    "A limiter counted one request twice, which halves its limit. Apply its middleware once to each request",
    `The limiter is ${name === undefined ? "one without a name" : `"${name}"`}. \`warnings: false\` switches this warning off.`,
  );
}
