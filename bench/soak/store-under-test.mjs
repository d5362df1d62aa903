import { LayeredRateLimiter, MemoryStore } from "../../dist/esm/index.js";
import { CheckedLimiter } from "./checked-limiter.mjs";

/** A capped store with several limiters, each in a namespace of its own. Its clock moves only by `move`, also backwards. */
export class StoreUnderTest {
  name;
  maxKeys;
  /** The store size from which the store may refuse a new key. */
  fullAt;
  store;
  namespaces;
  violations = 0;
  /** The number of the current operation; the traffic increments it. */
  step = 0;
  #onFull;
  #seed;
  #evictions = 0;
  #reading = 0;
  #now = 0;

  constructor({ name, maxKeys, onFull, namespaces }, seed) {
    this.name = name;
    this.maxKeys = maxKeys;
    // A namespace cannot use the keys that are reserved for the other namespaces.
    const reservedEach = Math.floor(Math.floor(maxKeys / 2) / namespaces.length);
    this.fullAt = maxKeys - reservedEach * (namespaces.length - 1);
    this.#onFull = onFull;
    this.#seed = seed;
    this.store = new MemoryStore({ maxKeys, onFull, clock: { now: () => this.#reading } });
    this.namespaces = namespaces.map((limits, at) => {
      const limiter = new LayeredRateLimiter({ name: `namespace ${at}`, limits, store: this.store, bypass: false });
      return {
        limiter,
        checked: new CheckedLimiter(limiter, this),
        longestMs: Math.max(...limiter.limits.map(({ periodMs }) => periodMs)),
      };
    });
  }

  /** The time of the store: the sum of the forward steps of the clock. A backward step adds nothing. */
  now() {
    return this.#now;
  }

  /** Moves the clock by whole milliseconds and makes one call, because the store sees a step only when it reads the clock. */
  async move(ms) {
    this.#reading += ms;
    this.#now += Math.max(0, ms);
    await this.namespaces[0].limiter.state("unused");
  }

  /** The number of results that were compared with the model. */
  get checks() {
    return this.namespaces.reduce((sum, { checked }) => sum + checked.checks, 0);
  }

  /** Checks what must be true of the store at any time. */
  checkInvariants() {
    const { size, evictions } = this.store;
    if (size > this.maxKeys) this.reportViolation("", "size", size, this.maxKeys);
    if (this.#onFull === "deny" && evictions > this.#evictions) this.reportViolation("", "evictions", evictions, 0);
    this.#evictions = evictions;
  }

  /** Prints a violation with everything that is needed to reproduce it. Prints the first ten only. */
  reportViolation(key, method, actual, expected) {
    this.violations += 1;
    if (this.violations > 10) return;
    const details = JSON.stringify({ key: key.slice(0, 80), length: key.length, now: this.#now, actual, expected });
    console.log(`VIOLATION --seed ${this.#seed}, ${this.name}, step ${this.step}, ${method}: ${details}`);
  }
}
