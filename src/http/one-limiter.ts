import type { Decision } from "../core/decision.js";
import { isPromiseLike } from "../core/promise-like.js";
import { noteCall } from "./counted-twice.js";
import type { CheckedLimiter, HttpLimiter } from "./http-limiter.js";
import { keyOfRequest, limiterOfRequest } from "./of-request.js";
import type { Soon } from "./options.js";
import type { Answer } from "./policy.js";
import type { Asker, Asking, MisuseView, Question } from "./question.js";

/** Makes what asks one limiter about requests. */
export function oneLimiter<R, K extends string>(
  limiter: HttpLimiter<K> | ((request: R) => Soon<HttpLimiter<K>>),
  key: ((request: R) => Soon<K | null>) | undefined,
  asking: Asking<R>,
): Asker<R> {
  const limiterOf = limiterOfRequest<R, K>("limiter", limiter, asking);
  const keyOf = keyOfRequest("key(request)", key, asking);
  const question = (asked: CheckedLimiter<K>, found: string | null, request: R): Question | undefined =>
    found === null ? undefined : new OneLimiter(asked, found as K, request, asking.misuse);
  return (request) => {
    // In this order: a key that throws would leave behind the promise of a limiter, whose rejection nobody hears.
    const found = keyOf(request);
    const asked = limiterOf(request);
    if (!isPromiseLike(asked) && !isPromiseLike(found)) return question(asked, found, request);
    return Promise.all([asked, found]).then(([late, lately]) => question(late, lately, request));
  };
}

/** The question to one limiter. A class, because one is made for each request, and methods cost nothing then. */
class OneLimiter<R, K extends string> implements Question {
  readonly #limiter: CheckedLimiter<K>;
  readonly #key: K;
  readonly #request: R;
  readonly #misuse: MisuseView<R> | undefined;

  constructor(limiter: CheckedLimiter<K>, key: K, request: R, misuse: MisuseView<R> | undefined) {
    this.#limiter = limiter;
    this.#key = key;
    this.#request = request;
    this.#misuse = misuse;
  }

  ask(cost: number | undefined): Decision | Promise<Decision> {
    noteCall(this.#request, this.#limiter, this.#key, cost, this.#misuse);
    return this.#limiter.check(this.#key, cost);
  }

  answersIn(decision: Decision): readonly Answer[] {
    const { name, limits } = this.#limiter;
    return [{ name, limits, decision }];
  }

  isAbuse(): boolean {
    return this.#limiter.guardsAgainstAbuse;
  }

  async refund(decision: Decision): Promise<unknown> {
    return this.#limiter.limiter.refund?.(decision);
  }
}
