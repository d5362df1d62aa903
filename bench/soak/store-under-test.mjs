import { LayeredRateLimiter, MemoryStore } from "../../dist/esm/index.js";
import { Watch } from "./watch.mjs";

/** A capped store with its limiters, each under watch, and a clock that is moved by hand, backwards too. */
export class House {
  name;
  maxKeys;
  fullAt;
  store;
  spaces;
  violations = 0;
  /** Set by who moves in: which step of the traffic this is. */
  step = 0;
  #onFull;
  #seed;
  #evictions = 0;
  #reading = 0;
  #now = 0;

  constructor({ name, maxKeys, onFull, spaces }, seed) {
    this.name = name;
    this.maxKeys = maxKeys;
    // What is reserved for the other namespaces is no room for a new key of one.
    this.fullAt = maxKeys - Math.floor(Math.floor(maxKeys / 2) / spaces.length) * (spaces.length - 1);
    this.#onFull = onFull;
    this.#seed = seed;
    this.store = new MemoryStore({ maxKeys, onFull, clock: { now: () => this.#reading } });
    this.spaces = spaces.map((limits, at) => {
      const limiter = new LayeredRateLimiter({ name: `space ${at}`, limits, store: this.store, bypass: false });
      return {
        limiter,
        watch: new Watch(limiter, this),
        longestMs: Math.max(...limiter.limits.map((l) => l.periodMs)),
      };
    });
  }

  /** Store time: the sum of the clock's steps forward. A step back is no time passing. */
  now() {
    return this.#now;
  }

  /** Moves the clock by whole milliseconds, and has the store see it: of a step that no call sees it cannot know. */
  async move(ms) {
    this.#reading += ms;
    this.#now += Math.max(0, ms);
    await this.spaces[0].limiter.state("nobody");
  }

  get checked() {
    return this.spaces.reduce((sum, { watch }) => sum + watch.checked, 0);
  }

  /** What must be true of the store at any instant. */
  inspect() {
    const { size, evictions } = this.store;
    if (size > this.maxKeys) this.accuse("", "size", size, this.maxKeys);
    if (this.#onFull === "deny" && evictions > this.#evictions) this.accuse("", "evictions", evictions, 0);
    this.#evictions = evictions;
  }

  /** Prints a violation with all that it takes to have it again. */
  accuse(key, verb, said, truth) {
    this.violations += 1;
    if (this.violations > 10) return;
    const shown = JSON.stringify({ key: key.slice(0, 80), length: key.length, now: this.#now, said, truth });
    console.log(`VIOLATION --seed ${this.#seed}, ${this.name}, step ${this.step}, ${verb}: ${shown}`);
  }
}
