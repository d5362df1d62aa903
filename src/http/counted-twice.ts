import { warnOnce } from "../core/warn.js";
import type { CheckedLimiter } from "./http-limiter.js";
import type { MisuseView } from "./question.js";

/** The limiter of a call, whatever its keys. */
interface Counting extends Pick<CheckedLimiter, "name" | "callsToNote"> {
  readonly limiter: object;
}

/** A call that a request was counted with. */
interface RequestCall {
  readonly limiter: object;
  readonly key: string;
  readonly cost: number;
  /** What the request asked for then; undefined where that does not change. */
  readonly target: string | undefined;
  readonly before: RequestCall | undefined;
  /** How many calls were before it. */
  readonly place: number;
}

/** The most calls of a request that are noted: a request object that is used again and again must not grow. */
const MOST_CALLS = 16;

/** On the request itself, because a WeakMap with an entry for each request keeps the garbage collector busy. */
const LATEST = Symbol("sluicegate latest call");

interface Noted {
  [LATEST]?: RequestCall;
}

/**
 * Notes that a request is counted, and warns when the same limiter has counted it before with the same key and cost: when a
 * middleware is on a router and on its route, say, which halves the limit.
 *
 * A request that was rewritten in between, to be dispatched again, is another request; a second call of another cost is meant.
 */
export function noteCall<R>(
  request: R,
  counting: Counting,
  key: string,
  cost: number | undefined,
  misuse: MisuseView<R> | undefined,
): void {
  if (misuse === undefined || counting.callsToNote === 0) return;
  counting.callsToNote -= 1;
  if (typeof request !== "object" || request === null) return;
  const { limiter, name } = counting;
  const target = misuse.target?.(request);
  const latest = (request as Noted)[LATEST];
  for (let other = latest; other !== undefined; other = other.before) {
    if (other.limiter === limiter && other.key === key && other.cost === (cost ?? 1) && other.target === target) {
      warnOfSecond(name);
    }
  }
  const place = latest === undefined ? 0 : latest.place + 1;
  const call: RequestCall = { limiter, key, cost: cost ?? 1, target, before: latest, place };
  // An assignment would throw where the request is frozen, or a proxy that takes no properties.
  if (place < MOST_CALLS) Reflect.set(request, LATEST, call);
}

function warnOfSecond(name: string | undefined): void {
  warnOnce(
    "SLUICEGATE_COUNTED_TWICE",
    "A limiter counted one request twice, which halves its limit. Put its middleware once on the way of each request",
    `The limiter is ${name === undefined ? "one without a name" : `"${name}"`}. \`warnings: false\` switches this warning off.`,
  );
}
