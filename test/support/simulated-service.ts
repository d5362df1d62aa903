import type { AdaptiveRateLimiter, Clock } from "../../src/index.js";
import type { ManualClock } from "../../src/testing/index.js";

/**
 * The clock of a loop that has many sockets to serve in a turn: its timers run between two turns, late, and each once.
 */
export class TurnClock implements Required<Clock> {
  readonly #clock: ManualClock;
  #alarms: { readonly dueMs: number; readonly run: () => void }[] = [];
  #lateMs = 0;

  constructor(clock: ManualClock) {
    this.#clock = clock;
  }

  now(): number {
    return this.#clock.now();
  }

  wake(afterMs: number, run: () => void): () => void {
    const alarm = { dueMs: this.now() + afterMs, run };
    this.#alarms.push(alarm);
    return () => {
      this.#alarms = this.#alarms.filter((other) => other !== alarm);
    };
  }

  /** By how many milliseconds the last alarm was late. */
  lateness(): number {
    return this.#lateMs;
  }

  endTurn(): void {
    const due = this.#alarms.filter(({ dueMs }) => dueMs <= this.now());
    for (const { dueMs } of due) this.#lateMs = this.now() - dueMs;
    this.#alarms = this.#alarms.filter((alarm) => !due.includes(alarm));
    for (const { run } of due) run();
  }
}

/** What became of one request. */
export interface Served {
  readonly atMs: number;
  readonly allowed: boolean;
  readonly latencyMs: number;
}

interface PlantOptions {
  readonly clock: ManualClock;
  readonly limiters: readonly AdaptiveRateLimiter[];
  /** Requests a second at an instant. */
  readonly rate: (atMs: number) => number;
  readonly serviceMs?: number;
  readonly refusalMs?: number;
  readonly seed?: number;
  /** Told when the line is empty, and after each turn of so many requests. */
  readonly onTurn?: () => void;
  readonly turn?: number;
}

/**
 * A model of an event loop: requests come at random, stand in one line, and are worked off one after another; each is
 * decided upon when its turn comes, as a request that waits in a socket is.
 */
export class Plant {
  readonly served: Served[] = [];
  readonly #options: Required<PlantOptions>;
  #seed: number;
  #nextAt: number;
  #freeAt: number;
  /** Work up to `#freeAt`, and what of it was told. */
  #busyMs = 0;
  #toldMs = 0;
  #toldAt: number;
  #count = 0;
  #inTurn = 0;

  constructor(options: PlantOptions) {
    this.#options = { serviceMs: 2, refusalMs: 0.1, seed: 1, onTurn: () => undefined, turn: 1000, ...options };
    this.#seed = this.#options.seed;
    this.#toldAt = this.#freeAt = this.#nextAt = options.clock.now();
  }

  /** The share of the time since it was last asked in which the loop was busy, as a monitor sees it. */
  busy(): number {
    const now = this.#options.clock.now();
    const busy = this.#busyMs - Math.max(0, this.#freeAt - now);
    const share = (busy - this.#toldMs) / (now - this.#toldAt);
    this.#toldMs = busy;
    this.#toldAt = now;
    return share;
  }

  run(untilMs: number): void {
    const { clock, limiters, rate, serviceMs, refusalMs, onTurn, turn } = this.#options;
    for (;;) {
      const perMs = rate(this.#nextAt) / 1000;
      if (perMs === 0) {
        this.#nextAt += 1;
        if (this.#nextAt >= untilMs) break;
        continue;
      }
      const atMs = this.#nextAt;
      const startsAt = Math.max(atMs, this.#freeAt);
      if (startsAt >= untilMs) break;
      this.#nextAt += -Math.log(1 - this.#random()) / perMs;
      clock.set(startsAt);
      this.#inTurn += 1;
      if (startsAt === atMs || this.#inTurn >= turn) {
        this.#inTurn = 0;
        onTurn();
      }
      const limiter = limiters[(this.#count += 1) % limiters.length]!;
      const { allowed } = limiter.checkSync("all");
      const workMs = allowed ? serviceMs : refusalMs;
      this.#busyMs += workMs;
      this.#freeAt = startsAt + workMs;
      this.served.push({ atMs, allowed, latencyMs: this.#freeAt - atMs });
    }
    clock.set(untilMs);
  }

  #random(): number {
    this.#seed = (Math.imul(this.#seed, 1664525) + 1013904223) >>> 0;
    return this.#seed / 2 ** 32;
  }
}
