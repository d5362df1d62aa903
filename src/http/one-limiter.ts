import type { Decision } from "../core/decision.js";
import { isPromiseLike } from "../core/promise-like.js";
import type { HttpLimiter } from "./http-limiter.js";
import { givenName, httpLimiter } from "./http-limiter.js";
import { keyOfRequest, limiterOfRequest } from "./of-request.js";
import type { Soon } from "./options.js";
import type { Answer } from "./policy.js";
import type { Asker, Asking, Question } from "./question.js";

/** Makes what asks one limiter about requests. */
export function oneLimiter<R, K extends string>(
  limiter: unknown,
  key: ((request: R) => Soon<K | null>) | undefined,
  asking: Asking<R>,
): Asker<R> {
  const limiterOf = limiterOfRequest<R, HttpLimiter<K>>(limiter, asking, (value) =>
    httpLimiter("limiter", value, asking.needsRefund),
  );
  const keyOf = keyOfRequest("key(request)", key, asking);
  const question = (asked: HttpLimiter<K>, found: string | null): Question | undefined =>
    found === null ? undefined : new OneLimiter(asked, found as K);
  return (request) => {
    // In this order: a key that throws would leave behind the promise of a limiter, whose rejection nobody hears.
    const found = keyOf(request);
    const asked = limiterOf(request);
    if (!isPromiseLike(asked) && !isPromiseLike(found)) return question(asked, found);
    return Promise.all([asked, found]).then(([late, lately]) => question(late, lately));
  };
}

/** The question to one limiter. A class, because one is made for each request, and methods cost nothing then. */
class OneLimiter<K extends string> implements Question {
  readonly #limiter: HttpLimiter<K>;
  readonly #key: K;

  constructor(limiter: HttpLimiter<K>, key: K) {
    this.#limiter = limiter;
    this.#key = key;
  }

  ask(cost: number | undefined): Decision | Promise<Decision> {
    const limiter = this.#limiter;
    if (limiter.synchronous === true && limiter.checkSync !== undefined) {
      return limiter.checkSync(this.#key, cost === undefined ? undefined : { cost });
    }
    return cost === undefined ? limiter.check(this.#key) : limiter.check(this.#key, { cost });
  }

  answersIn(decision: Decision): readonly Answer[] {
    return [{ name: givenName(this.#limiter), limits: this.#limiter.limits, decision }];
  }

  isAbuse(): boolean {
    return this.#limiter.guardsAgainst === "abnormal-usage";
  }

  async refund(decision: Decision): Promise<unknown> {
    return this.#limiter.refund?.(decision);
  }
}
