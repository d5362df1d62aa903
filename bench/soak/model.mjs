/**
 * The expected results for one key, by brute force: plain arrays of admitted calls, filtered again for every call.
 *
 * It shares no code with the library. A full store may evict a key that is below its limit, and the caller cannot see which
 * one. The model therefore keeps every history that is possible, and each result rules some of them out. A result that
 * no history explains is wrong.
 */
export class Model {
  #limits;
  #longestMs;
  /** @type {{ timestamp: number, cost: number }[][]} */
  histories = [[]];
  /** The evictions of the store at the previous call for this key. */
  evictions = 0;

  constructor(limits) {
    this.#limits = limits;
    this.#longestMs = Math.max(...limits.map(({ periodMs }) => periodMs));
  }

  /** Adds the empty history: the store evicted a key, and it may be this one if it is below its limit. */
  onEviction(now) {
    const isEvictable = this.histories.some((history) => history.length > 0 && this.allows(history, 1, now));
    if (isEvictable && !this.histories.some((history) => history.length === 0)) this.histories.push([]);
  }

  /** Keeps the histories that explain a result. Returns false if there is none: the result is wrong. */
  keep(explains) {
    this.histories = this.histories.filter(explains);
    return this.histories.length > 0;
  }

  record(admission) {
    for (const history of this.histories) history.push(admission);
  }

  /** Keeps the histories that explain the result of a refund, and removes the admission from them. */
  refund(admission, now, isRefunded) {
    const contains = (history) => history.includes(admission) && admission.timestamp > now - this.#longestMs;
    if (!this.keep((history) => contains(history) === isRefunded)) return false;
    if (isRefunded) this.histories = this.histories.map((history) => history.filter((other) => other !== admission));
    return true;
  }

  reset() {
    this.histories = [[]];
  }

  /** Deletes expired calls, which changes no result. */
  deleteExpired(now) {
    this.histories = this.histories.map((history) => this.#unexpired(history, this.#longestMs, now));
    if (this.histories.length > 1 && this.histories.every(({ length }) => length === 0)) this.histories = [[]];
  }

  isEmpty() {
    return this.histories.length === 1 && this.histories[0].length === 0;
  }

  calls(history, now) {
    return this.#used(history, this.#longestMs, now);
  }

  /** Whether every field of a decision follows from this history, to which the call has not been added yet. */
  isDecision(history, cost, now, decision, isRecorded) {
    const isAllowed = this.allows(history, cost, now);
    const after = isAllowed && isRecorded ? [...history, { timestamp: now, cost }] : history;
    // A recorded call waits for nothing more.
    const nextCost = isAllowed && isRecorded ? 0 : cost;
    const layers = this.#limits.map((limit) => this.#layer(after, limit, nextCost, now));
    return (
      decision.allowed === isAllowed &&
      decision.layers.length === layers.length &&
      layers.every((layer, at) =>
        Object.entries(layer).every(([field, value]) => decision.layers[at][field] === value),
      ) &&
      decision.remaining === Math.min(...layers.map(({ remaining }) => remaining)) &&
      decision.retryAfterMs === Math.max(...layers.map(({ retryAfterMs }) => retryAfterMs)) &&
      decision.resetAfterMs === Math.max(...layers.map(({ resetAfterMs }) => resetAfterMs))
    );
  }

  /** Whether every limit allows a call of this cost. */
  allows(history, cost, now) {
    return this.#limits.every(({ maxCalls, periodMs }) => this.#used(history, periodMs, now) + cost <= maxCalls);
  }

  /** Whether the key has no unexpired calls and its limits allow the call: only then may a full store refuse it. */
  isNewKey(history, cost, now) {
    return this.calls(history, now) === 0 && this.allows(history, cost, now);
  }

  #layer(history, { maxCalls, periodMs }, cost, now) {
    const ends = this.#unexpired(history, periodMs, now).map(({ timestamp }) => timestamp + periodMs);
    const usedAt = (at) => this.#used(history, periodMs, at);
    const msUntil = (isTrueAt) => ([now, ...ends].sort((a, b) => a - b).find(isTrueAt) ?? Infinity) - now;
    const remaining = Math.max(0, maxCalls - usedAt(now));
    return {
      remaining,
      retryAfterMs: msUntil((at) => usedAt(at) + cost <= maxCalls),
      moreAfterMs: msUntil((at) => maxCalls - usedAt(at) > remaining),
      resetAfterMs: Math.max(0, ...ends.map((end) => end - now)),
    };
  }

  #used(history, periodMs, now) {
    return this.#unexpired(history, periodMs, now).reduce((sum, { cost }) => sum + cost, 0);
  }

  #unexpired(history, periodMs, now) {
    return history.filter(({ timestamp }) => timestamp > now - periodMs);
  }
}
