import { checkOf, decisionOf, used } from "./dist/model.js";

/**
 * The logs that one key may have.
 *
 * A full store may evict a key that is below its limit, and the caller cannot see which one. Therefore this class keeps every log
 * that is possible, and each result rules some of them out. A result that no log explains is wrong.
 */
export class PossibleLogs {
  #limits;
  #longestMs;
  logs = [[]];
  /** The evictions of the store at the previous call for this key. */
  evictions = 0;

  constructor(limits) {
    this.#limits = limits;
    this.#longestMs = Math.max(...limits.map(({ periodMs }) => periodMs));
  }

  /** Adds the empty log: the store evicted a key, and it may be this one if it is below its limit. */
  onEviction(now) {
    const isEvictable = this.logs.some((log) => log.length > 0 && this.allows(log, 1, now));
    if (isEvictable && !this.logs.some((log) => log.length === 0)) this.logs.push([]);
  }

  /** Keeps the logs that explain a result. Returns false if there is none: the result is wrong. */
  keep(explains) {
    this.logs = this.logs.filter(explains);
    return this.logs.length > 0;
  }

  record(admission) {
    for (const log of this.logs) log.push(admission);
  }

  /** Keeps the logs that explain the result of a refund, and removes the admission from them. */
  refund(admission, now, isRefunded) {
    const contains = (log) => log.includes(admission) && admission.timestamp > now - this.#longestMs;
    if (!this.keep((log) => contains(log) === isRefunded)) return false;
    if (isRefunded) this.logs = this.logs.map((log) => log.filter((other) => other !== admission));
    return true;
  }

  reset() {
    this.logs = [[]];
  }

  /** Deletes expired calls, which changes no result. */
  deleteExpired(now) {
    this.logs = this.logs.map((log) => log.filter(({ timestamp }) => timestamp > now - this.#longestMs));
    if (this.logs.length > 1 && this.logs.every(({ length }) => length === 0)) this.logs = [[]];
  }

  isEmpty() {
    return this.logs.length === 1 && this.logs[0].length === 0;
  }

  calls(log, now) {
    return used(log, this.#longestMs, now);
  }

  /** Whether every field of a decision follows from this log, to which the call has not been added yet. */
  isDecision(log, cost, now, decision, isRecorded) {
    const { layers, ...fields } = isRecorded
      ? checkOf(log, this.#limits, { timestamp: now, cost }, now)
      : decisionOf(log, this.#limits, cost, now);
    return (
      includes(decision, fields) &&
      decision.layers.length === layers.length &&
      layers.every((layer, at) => includes(decision.layers[at], layer))
    );
  }

  /** Whether every limit allows a call of this cost. */
  allows(log, cost, now) {
    return this.#limits.every(({ maxCalls, periodMs }) => used(log, periodMs, now) + cost <= maxCalls);
  }

  /** Whether the key has no unexpired calls and its limits allow the call: only then may a full store refuse it. */
  isNewKey(log, cost, now) {
    return this.calls(log, now) === 0 && this.allows(log, cost, now);
  }
}

/** Whether an object has these fields with these values. */
function includes(object, fields) {
  return Object.entries(fields).every(([field, value]) => object[field] === value);
}
