import { Truth } from "./truth.mjs";

/** A limiter under watch: what it says about some of its keys is compared with the {@link Truth}, field by field. */
export class Watch {
  checked = 0;
  #limiter;
  #house;
  #truths = new Map();
  #decisions = [];

  /** @param house - its store, `now()` as the store must have it, `maxKeys`, and `accuse(key, verb, said, truth)`. */
  constructor(limiter, house) {
    this.#limiter = limiter;
    this.#house = house;
  }

  /** @returns the milliseconds to wait for another try. */
  check(key, cost) {
    const truth = this.#truthOf(key);
    const decision = this.#limiter.checkSync(key, { cost });
    if (this.#believe(key, "check", truth, cost, decision, true) && decision.allowed) {
      const admission = { stamp: this.#house.now(), cost };
      truth.record(admission);
      this.#decisions.push({ key, decision, admission });
      if (this.#decisions.length > 64) this.#decisions.shift();
    }
    return decision.retryAfterMs;
  }

  async isAllowed(key, cost) {
    const truth = this.#truthOf(key);
    const now = this.#house.now();
    const isAllowed = await this.#limiter.isAllowed(key, { cost });
    const isFull = this.#isFull();
    const explains = (history) =>
      truth.passes(history, cost, now) === isAllowed || (!isAllowed && isFull && truth.isNewcomer(history, cost, now));
    if (this.#judged(key, "isAllowed", truth, explains, isAllowed) && isAllowed) truth.record({ stamp: now, cost });
  }

  async peek(key, cost) {
    const truth = this.#truthOf(key);
    this.#believe(key, "peek", truth, cost, await this.#limiter.peek(key, { cost }), false);
  }

  async state(key) {
    const truth = this.#truthOf(key);
    const { calls } = await this.#limiter.state(key);
    this.#judged(key, "state", truth, (history) => truth.calls(history, this.#house.now()) === calls, { calls });
  }

  /** Takes back what the `back`-th latest decision of the last 64 spent, if there is one; perhaps not for the first time. */
  async refund(back) {
    const spent = this.#decisions.at(-1 - back);
    if (spent === undefined) return;
    const { key, decision, admission } = spent;
    const truth = this.#truthOf(key);
    const answer = await this.#limiter.refund(decision);
    this.checked += 1;
    const before = truth.histories;
    if (truth.refund(admission, this.#house.now(), answer)) return;
    this.#accuse(key, "refund", answer, before, truth);
  }

  async reset(key) {
    await this.#limiter.reset(key);
    this.#truths.delete(key);
  }

  async resetAll() {
    await this.#limiter.reset();
    this.#truths.clear();
  }

  /** Forgets the truth about keys of which nothing is live: nothing tells them from keys that never came. */
  tidy() {
    for (const [key, truth] of this.#truths) {
      truth.tidy(this.#house.now());
      if (truth.isBlank()) this.#truths.delete(key);
    }
  }

  #truthOf(key) {
    let truth = this.#truths.get(key);
    if (truth === undefined) {
      truth = new Truth(this.#limiter.limits);
      this.#truths.set(key, truth);
    } else if (truth.evictions !== this.#house.store.evictions) {
      truth.mayHaveBeenForgotten(this.#house.now());
    }
    truth.evictions = this.#house.store.evictions;
    return truth;
  }

  #believe(key, verb, truth, cost, decision, isSpent) {
    const now = this.#house.now();
    const isNoRoom = decision.refusedBy === "capacity";
    const isExcused = isNoRoom && !decision.allowed && decision.retryAfterMs > 0 && this.#isFull();
    const explains = (history) =>
      isNoRoom
        ? isExcused && truth.isNewcomer(history, cost, now)
        : truth.isAnswer(history, cost, now, decision, isSpent);
    return this.#judged(key, `${verb} of ${cost}`, truth, explains, decision);
  }

  #judged(key, verb, truth, explains, said) {
    this.checked += 1;
    const before = truth.histories;
    if (truth.keep(explains)) return true;
    this.#accuse(key, verb, said, before, truth);
    return false;
  }

  /** Reports a violation, and forgets the key on both sides: one fault is reported once. */
  #accuse(key, verb, said, histories, truth) {
    this.#house.accuse(key, verb, said, histories);
    truth.forget();
    this.#truths.delete(key);
    void this.#limiter.reset(key);
  }

  #isFull() {
    return this.#house.store.size >= this.#house.fullAt;
  }
}
