import type { Clock } from "../core/clock.js";
import type { Decision } from "../core/decision.js";
import { expected } from "../core/expected.js";
import { StoreTime } from "../core/store-time.js";
import { WaitingLine } from "./waiting-line.js";
import type { Wish } from "./wish.js";

/** Where those ask who wait: what a limiter would decide, without telling anybody. */
export interface Desk<K extends string> {
  readonly check: (key: K, cost: number) => Decision | Promise<Decision>;
  readonly peek: (key: K, cost: number) => Decision | Promise<Decision>;
}

/** The lines of one limiter, one for each key that somebody waits for; a line whose waiters are gone is gone too. */
export class WaitingRoom<in K extends string> {
  readonly #clock: Clock;
  /** As the store counts time: a clock that steps back freezes nobody. */
  readonly #time: StoreTime;
  readonly #desk: Desk<K>;
  readonly #lines = new Map<string, WaitingLine>();

  /** @throws TypeError when the clock cannot wake. */
  constructor(clock: Clock, desk: Desk<K>) {
    if (clock.wake === undefined) {
      throw new TypeError(expected("clock", "a clock with a `wake` function, for acquire", clock));
    }
    this.#clock = clock;
    this.#time = new StoreTime(clock);
    this.#desk = desk;
  }

  /** Waits in the line of a key: see {@link WaitingLine.join}. */
  enter(key: K, wish: Wish): Promise<Decision> {
    const { signal } = wish;
    if (signal?.aborted === true) return Promise.reject(signal.reason);
    const line = this.#lines.get(key) ?? this.#opened(key);
    const admission = line.join(wish);
    // Where the clock failed nobody has come to stand in it.
    if (line.isEmpty) this.#lines.delete(key);
    return admission;
  }

  /** Lets the first of a line ask at once, or of every line: a refund, a reset or a raised limit may have let it in. */
  wake(key?: K): void {
    const lines = key === undefined ? [...this.#lines.values()] : [this.#lines.get(key)];
    for (const line of lines) line?.serve();
  }

  /** Rejects every waiter of every line. */
  rejectAll(error: unknown): void {
    for (const line of [...this.#lines.values()]) line.rejectAll(error);
  }

  #opened(key: K): WaitingLine {
    const counter = {
      check: (cost: number) => this.#desk.check(key, cost),
      peek: (cost: number) => this.#desk.peek(key, cost),
      now: () => {
        this.#time.read();
        return this.#time.now;
      },
      wake: (afterMs: number, run: () => void) => this.#clock.wake?.(afterMs, run),
    };
    const line = new WaitingLine(counter, () => void this.#lines.delete(key));
    this.#lines.set(key, line);
    return line;
  }
}
