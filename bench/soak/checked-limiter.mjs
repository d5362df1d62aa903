import { PossibleLogs } from "./possible-logs.mjs";

/** The number of recent decisions that can be refunded. */
const REFUNDABLE = 64;

/** A limiter whose results for some keys are compared with the {@link PossibleLogs} of the key, field by field. */
export class CheckedLimiter {
  checks = 0;
  #limiter;
  #owner;
  #possible = new Map();
  #decisions = [];

  /** @param owner - the {@link StoreUnderTest} that the limiter belongs to. */
  constructor(limiter, owner) {
    this.#limiter = limiter;
    this.#owner = owner;
  }

  /** @returns the `retryAfterMs` of the decision. */
  check(key, cost) {
    const possible = this.#logsOf(key);
    const decision = this.#limiter.checkSync(key, { cost });
    if (this.#expectDecision(key, "check", possible, cost, decision, true) && decision.allowed) {
      const admission = { timestamp: this.#owner.now(), cost };
      possible.record(admission);
      this.#decisions.push({ key, decision, admission });
      if (this.#decisions.length > REFUNDABLE) this.#decisions.shift();
    }
    return decision.retryAfterMs;
  }

  async isAllowed(key, cost) {
    const possible = this.#logsOf(key);
    const now = this.#owner.now();
    const isAllowed = await this.#limiter.isAllowed(key, { cost });
    const isFull = this.#isFull();
    const explains = (log) =>
      possible.allows(log, cost, now) === isAllowed || (!isAllowed && isFull && possible.isNewKey(log, cost, now));
    const isConsistent = this.#expectConsistent(key, "isAllowed", possible, explains, isAllowed);
    if (isConsistent && isAllowed) possible.record({ timestamp: now, cost });
  }

  async peek(key, cost) {
    const possible = this.#logsOf(key);
    this.#expectDecision(key, "peek", possible, cost, await this.#limiter.peek(key, { cost }), false);
  }

  async state(key) {
    const possible = this.#logsOf(key);
    const { calls } = await this.#limiter.state(key);
    const now = this.#owner.now();
    this.#expectConsistent(key, "state", possible, (log) => possible.calls(log, now) === calls, { calls });
  }

  /** Refunds one of the last 64 allowed decisions: the latest if `back` is 0. It may have been refunded before. */
  async refund(back) {
    const recorded = this.#decisions.at(-1 - back);
    if (recorded === undefined) return;
    const { key, decision, admission } = recorded;
    const possible = this.#logsOf(key);
    const result = await this.#limiter.refund(decision);
    this.checks += 1;
    const before = possible.logs;
    if (!possible.refund(admission, this.#owner.now(), result))
      this.#reportViolation(key, "refund", result, before, possible);
  }

  async reset(key) {
    await this.#limiter.reset(key);
    this.#possible.delete(key);
  }

  async resetAll() {
    await this.#limiter.reset();
    this.#possible.clear();
  }

  /** Deletes the logs of keys without unexpired calls: they equal those of unused keys. */
  deleteExpired() {
    for (const [key, possible] of this.#possible) {
      possible.deleteExpired(this.#owner.now());
      if (possible.isEmpty()) this.#possible.delete(key);
    }
  }

  #logsOf(key) {
    let possible = this.#possible.get(key);
    if (possible === undefined) {
      possible = new PossibleLogs(this.#limiter.limits);
      this.#possible.set(key, possible);
    } else if (possible.evictions !== this.#owner.store.evictions) {
      possible.onEviction(this.#owner.now());
    }
    possible.evictions = this.#owner.store.evictions;
    return possible;
  }

  #expectDecision(key, method, possible, cost, decision, isRecorded) {
    const now = this.#owner.now();
    const isCapacity = decision.refusedBy === "capacity";
    const mayBeCapacity = isCapacity && !decision.allowed && decision.retryAfterMs > 0 && this.#isFull();
    const explains = (log) =>
      isCapacity
        ? mayBeCapacity && possible.isNewKey(log, cost, now)
        : possible.isDecision(log, cost, now, decision, isRecorded);
    return this.#expectConsistent(key, `${method} of ${cost}`, possible, explains, decision);
  }

  /** Reports a violation if no possible log of the key explains the result. */
  #expectConsistent(key, method, possible, explains, actual) {
    this.checks += 1;
    const before = possible.logs;
    if (possible.keep(explains)) return true;
    this.#reportViolation(key, method, actual, before, possible);
    return false;
  }

  /** Also resets the key in the limiter and here, so that one fault is reported once. */
  #reportViolation(key, method, actual, logs, possible) {
    this.#owner.reportViolation(key, method, actual, logs);
    possible.reset();
    this.#possible.delete(key);
    void this.#limiter.reset(key);
  }

  #isFull() {
    return this.#owner.store.size >= this.#owner.fullAt;
  }
}
