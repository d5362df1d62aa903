/**
 * What a limiter may say about one key, by brute force: plain arrays of admissions, filtered anew for every question.
 *
 * It shares no code with the library. Where a store is full, a key that has calls left may have been forgotten for a
 * newcomer, unseen; so the truth is a few histories that are all possible, and every answer rules some of them out. A
 * limiter that gives an answer which none of them allows is wrong.
 */
export class Truth {
  #limits;
  #longestMs;
  /** @type {{ stamp: number, cost: number }[][]} */
  histories = [[]];
  /** How many keys the store had evicted when it was last asked about this one. */
  evictions = 0;

  constructor(limits) {
    this.#limits = limits;
    this.#longestMs = Math.max(...limits.map(({ periodMs }) => periodMs));
  }

  /** A key with live calls was forgotten since the last question: this one, if it has a call left. One at its limit never is. */
  mayHaveBeenForgotten(now) {
    const forgettable = this.histories.some((history) => history.length > 0 && this.passes(history, 1, now));
    if (forgettable && !this.histories.some((history) => history.length === 0)) this.histories.push([]);
  }

  /** Keeps the histories that explain an answer. False where none does: then the limiter is wrong. */
  keep(explains) {
    this.histories = this.histories.filter(explains);
    return this.histories.length > 0;
  }

  record(admission) {
    for (const history of this.histories) history.push(admission);
  }

  /** Takes an admission back from the histories that hold it live: those of which the refund was answered with true. */
  refund(admission, now, answer) {
    const holds = (history) => history.includes(admission) && admission.stamp > now - this.#longestMs;
    if (!this.keep((history) => holds(history) === answer)) return false;
    if (answer) this.histories = this.histories.map((history) => history.filter((other) => other !== admission));
    return true;
  }

  forget() {
    this.histories = [[]];
  }

  /** Drops what is dead, which changes no answer. */
  tidy(now) {
    this.histories = this.histories.map((history) => this.#liveIn(history, this.#longestMs, now));
    if (this.histories.length > 1 && this.histories.every(({ length }) => length === 0)) this.histories = [[]];
  }

  isBlank() {
    return this.histories.length === 1 && this.histories[0].length === 0;
  }

  calls(history, now) {
    return this.#spent(history, this.#longestMs, now);
  }

  /** Whether a decision's every field is what this history gives, before the call of this cost is recorded in it. */
  isAnswer(history, cost, now, decision, isSpent) {
    const isAllowed = this.passes(history, cost, now);
    const after = isAllowed && isSpent ? [...history, { stamp: now, cost }] : history;
    // After its spend a call is asked about no more: a further cost of 0 waits for nothing.
    const asked = isAllowed && isSpent ? 0 : cost;
    const layers = this.#limits.map((limit) => this.#layer(after, limit, asked, now));
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

  /** Whether every limit lets a call of this cost pass. */
  passes(history, cost, now) {
    return this.#limits.every(({ maxCalls, periodMs }) => this.#spent(history, periodMs, now) + cost <= maxCalls);
  }

  /** Whether nothing is live and the call would pass: only then may a full store refuse it for want of room. */
  isNewcomer(history, cost, now) {
    return this.calls(history, now) === 0 && this.passes(history, cost, now);
  }

  #layer(history, { maxCalls, periodMs }, cost, now) {
    const live = this.#liveIn(history, periodMs, now);
    const ends = live.map(({ stamp }) => stamp + periodMs);
    const spentAt = (at) => this.#spent(history, periodMs, at);
    const firstOf = (isIt) => ([now, ...ends].sort((a, b) => a - b).find(isIt) ?? Infinity) - now;
    const remaining = Math.max(0, maxCalls - spentAt(now));
    return {
      remaining,
      retryAfterMs: firstOf((at) => spentAt(at) + cost <= maxCalls),
      moreAfterMs: firstOf((at) => maxCalls - spentAt(at) > remaining),
      resetAfterMs: Math.max(0, ...ends.map((end) => end - now)),
    };
  }

  #spent(history, periodMs, now) {
    return this.#liveIn(history, periodMs, now).reduce((sum, { cost }) => sum + cost, 0);
  }

  #liveIn(history, periodMs, now) {
    return history.filter(({ stamp }) => stamp > now - periodMs);
  }
}
