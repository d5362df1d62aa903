import type { Clock } from "../../core/clock.js";

/** The number of consecutive failures that opens the circuit. */
const FAILURES = 3;

/** How long the circuit stays open, in milliseconds: long compared with a timeout, short compared with an outage. */
const COOL_DOWN_MS = 1000;

/**
 * Keeps callers from waiting for a server that does not reply: after three consecutive failures no command is sent for one
 * second. Then one call probes the server, and its outcome closes the circuit or keeps it open.
 */
export class CircuitBreaker {
  readonly #clock: Clock;
  #failures = 0;
  #openUntil = 0;
  #isProbing = false;
  /** Incremented with each change of state: outcomes of calls that were sent before it are ignored. */
  #epoch = 0;
  #cause: unknown;

  /** @param clock - never goes back. */
  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** The error of the latest failed call. */
  get cause(): unknown {
    return this.#cause;
  }

  /** Whether a call may be sent: a pass, which is returned with the outcome of the call; undefined if not. */
  admit(): number | undefined {
    if (this.#failures < FAILURES) return this.#epoch;
    if (this.#isProbing || this.#clock.now() < this.#openUntil) return undefined;
    this.#isProbing = true;
    return (this.#epoch += 1);
  }

  succeeded(pass: number): void {
    if (pass !== this.#epoch) return;
    if (this.#isProbing) this.#epoch += 1;
    this.#failures = 0;
    this.#isProbing = false;
  }

  /**
   * @param cause - the error of the calls.
   * @param calls - how many calls were sent together, and failed together.
   */
  failed(pass: number, cause?: unknown, calls: number = 1): void {
    this.#cause = cause;
    if (pass !== this.#epoch) return;
    this.#failures += calls;
    if (this.#failures < FAILURES) return;
    this.#epoch += 1;
    this.#isProbing = false;
    this.#openUntil = this.#clock.now() + COOL_DOWN_MS;
  }
}
