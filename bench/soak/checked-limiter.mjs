import { Model } from "./model.mjs";

/** The number of recent decisions that can be refunded. */
const REFUNDABLE = 64;

/** A limiter whose results for some keys are compared with the {@link Model}, field by field. */
export class CheckedLimiter {
  checks = 0;
  #limiter;
  #owner;
  #models = new Map();
  #decisions = [];

  /** @param owner - the {@link StoreUnderTest} that the limiter belongs to. */
  constructor(limiter, owner) {
    this.#limiter = limiter;
    this.#owner = owner;
  }

  /** @returns the `retryAfterMs` of the decision. */
  check(key, cost) {
    const model = this.#modelOf(key);
    const decision = this.#limiter.checkSync(key, { cost });
    if (this.#expectDecision(key, "check", model, cost, decision, true) && decision.allowed) {
      const admission = { timestamp: this.#owner.now(), cost };
      model.record(admission);
      this.#decisions.push({ key, decision, admission });
      if (this.#decisions.length > REFUNDABLE) this.#decisions.shift();
    }
    return decision.retryAfterMs;
  }

  async isAllowed(key, cost) {
    const model = this.#modelOf(key);
    const now = this.#owner.now();
    const isAllowed = await this.#limiter.isAllowed(key, { cost });
    const isFull = this.#isFull();
    const explains = (history) =>
      model.allows(history, cost, now) === isAllowed || (!isAllowed && isFull && model.isNewKey(history, cost, now));
    const isConsistent = this.#expectConsistent(key, "isAllowed", model, explains, isAllowed);
    if (isConsistent && isAllowed) model.record({ timestamp: now, cost });
  }

  async peek(key, cost) {
    const model = this.#modelOf(key);
    this.#expectDecision(key, "peek", model, cost, await this.#limiter.peek(key, { cost }), false);
  }

  async state(key) {
    const model = this.#modelOf(key);
    const { calls } = await this.#limiter.state(key);
    const now = this.#owner.now();
    this.#expectConsistent(key, "state", model, (history) => model.calls(history, now) === calls, { calls });
  }

  /** Refunds one of the last 64 allowed decisions: the latest if `back` is 0. It may have been refunded before. */
  async refund(back) {
    const recorded = this.#decisions.at(-1 - back);
    if (recorded === undefined) return;
    const { key, decision, admission } = recorded;
    const model = this.#modelOf(key);
    const result = await this.#limiter.refund(decision);
    this.checks += 1;
    const before = model.histories;
    if (!model.refund(admission, this.#owner.now(), result))
      this.#reportViolation(key, "refund", result, before, model);
  }

  async reset(key) {
    await this.#limiter.reset(key);
    this.#models.delete(key);
  }

  async resetAll() {
    await this.#limiter.reset();
    this.#models.clear();
  }

  /** Deletes the models of keys without unexpired calls: they equal those of unused keys. */
  deleteExpired() {
    for (const [key, model] of this.#models) {
      model.deleteExpired(this.#owner.now());
      if (model.isEmpty()) this.#models.delete(key);
    }
  }

  #modelOf(key) {
    let model = this.#models.get(key);
    if (model === undefined) {
      model = new Model(this.#limiter.limits);
      this.#models.set(key, model);
    } else if (model.evictions !== this.#owner.store.evictions) {
      model.onEviction(this.#owner.now());
    }
    model.evictions = this.#owner.store.evictions;
    return model;
  }

  #expectDecision(key, method, model, cost, decision, isRecorded) {
    const now = this.#owner.now();
    const isCapacity = decision.refusedBy === "capacity";
    const mayBeCapacity = isCapacity && !decision.allowed && decision.retryAfterMs > 0 && this.#isFull();
    const explains = (history) =>
      isCapacity
        ? mayBeCapacity && model.isNewKey(history, cost, now)
        : model.isDecision(history, cost, now, decision, isRecorded);
    return this.#expectConsistent(key, `${method} of ${cost}`, model, explains, decision);
  }

  /** Reports a violation if no possible history of the key explains the result. */
  #expectConsistent(key, method, model, explains, actual) {
    this.checks += 1;
    const before = model.histories;
    if (model.keep(explains)) return true;
    this.#reportViolation(key, method, actual, before, model);
    return false;
  }

  /** Also resets the key in the limiter and in the model, so that one fault is reported once. */
  #reportViolation(key, method, actual, histories, model) {
    this.#owner.reportViolation(key, method, actual, histories);
    model.reset();
    this.#models.delete(key);
    void this.#limiter.reset(key);
  }

  #isFull() {
    return this.#owner.store.size >= this.#owner.fullAt;
  }
}
