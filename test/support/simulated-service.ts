import type { AdaptiveRateLimiter, Clock } from "../../src/index.js";
import type { ManualClock } from "../../src/testing/index.js";

/** The clock of an event loop whose turns take long: a timer that is due runs once, late, at the end of the turn. */
export class TurnClock implements Required<Clock> {
  readonly #clock: ManualClock;
  #timers: { readonly dueMs: number; readonly run: () => void }[] = [];
  #lateMs = 0;

  constructor(clock: ManualClock) {
    this.#clock = clock;
  }

  now(): number {
    return this.#clock.now();
  }

  wake(afterMs: number, run: () => void): () => void {
    const timer = { dueMs: this.now() + afterMs, run };
    this.#timers.push(timer);
    return () => {
      this.#timers = this.#timers.filter((other) => other !== timer);
    };
  }

  /** The delay of the last timer in milliseconds. */
  lateness(): number {
    return this.#lateMs;
  }

  endTurn(): void {
    const due = this.#timers.filter(({ dueMs }) => dueMs <= this.now());
    for (const { dueMs } of due) this.#lateMs = this.now() - dueMs;
    this.#timers = this.#timers.filter((timer) => !due.includes(timer));
    for (const { run } of due) run();
  }
}

/** One request and its result. */
export interface Served {
  readonly atMs: number;
  readonly allowed: boolean;
  readonly latencyMs: number;
}

interface ServiceOptions {
  readonly clock: ManualClock;
  readonly limiters: readonly AdaptiveRateLimiter[];
  /** The rate of requests at an instant, per second. */
  readonly rate: (atMs: number) => number;
  readonly serviceMs?: number;
  readonly refusalMs?: number;
  readonly seed?: number;
  /** Called when the queue is empty, and after every `turn` requests. */
  readonly onTurn?: () => void;
  readonly turn?: number;
}

/**
 * A simulated event loop: requests arrive at random, and are processed one after another. The limiter decides when a request
 * leaves the queue, as for a request that waits in a socket.
 */
export class SimulatedService {
  readonly served: Served[] = [];
  readonly #options: Required<ServiceOptions>;
  #seed: number;
  #nextAt: number;
  #freeAt: number;
  /** The work up to `#freeAt`, and the part of it that `busy` has reported. */
  #busyMs = 0;
  #reportedMs = 0;
  #reportedAt: number;
  #count = 0;
  #inTurn = 0;

  constructor(options: ServiceOptions) {
    this.#options = { serviceMs: 2, refusalMs: 0.1, seed: 1, onTurn: () => undefined, turn: 1000, ...options };
    this.#seed = this.#options.seed;
    this.#reportedAt = this.#freeAt = this.#nextAt = options.clock.now();
  }

  /** The share of the time since the previous call in which the loop was busy. */
  busy(): number {
    const now = this.#options.clock.now();
    const busy = this.#busyMs - Math.max(0, this.#freeAt - now);
    const share = (busy - this.#reportedMs) / (now - this.#reportedAt);
    this.#reportedMs = busy;
    this.#reportedAt = now;
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
