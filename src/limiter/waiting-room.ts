import type { Decision } from "../core/decision.js";
import type { Counter } from "./waiting-line.js";
import { WaitingLine } from "./waiting-line.js";
import type { Wish } from "./wish.js";

/** The lines of one limiter, one for each key that somebody waits for; a line whose waiters are gone is gone too. */
export class WaitingRoom<in K extends string> {
  readonly #counterOf: (key: K) => Counter;
  readonly #lines = new Map<string, WaitingLine>();

  /** @param counterOf - where those who wait for a key ask. */
  constructor(counterOf: (key: K) => Counter) {
    this.#counterOf = counterOf;
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

  #opened(key: K): WaitingLine {
    const line = new WaitingLine(this.#counterOf(key), () => void this.#lines.delete(key));
    this.#lines.set(key, line);
    return line;
  }
}
