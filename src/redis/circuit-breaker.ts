/** This many failures in a row are no accident any more. */
const FAILURES = 3;

/** How long Redis is not asked then, in milliseconds: long against a timeout, short against an outage. */
const COOL_DOWN_MS = 1000;

/**
 * Keeps callers from waiting for a server that does not answer: after three failures in a row it is not asked for a second,
 * then by one call, whose outcome decides.
 */
export class CircuitBreaker {
  readonly #now: () => number;
  #failures = 0;
  #openUntil = 0;
  #isProbing = false;
  /** Counted up with each change of state: what was asked before it says nothing of now. */
  #epoch = 0;
  #cause: unknown;

  /** @param now - milliseconds of a clock that never goes back. */
  constructor(now: () => number) {
    this.#now = now;
  }

  /** What the latest failed call met. */
  get cause(): unknown {
    return this.#cause;
  }

  /** Whether a call may be made: a pass, to be handed back with its outcome; undefined where not. */
  admit(): number | undefined {
    if (this.#failures < FAILURES) return this.#epoch;
    if (this.#isProbing || this.#now() < this.#openUntil) return undefined;
    this.#isProbing = true;
    return (this.#epoch += 1);
  }

  succeeded(pass: number): void {
    if (pass !== this.#epoch) return;
    if (this.#isProbing) this.#epoch += 1;
    this.#failures = 0;
    this.#isProbing = false;
  }

  /** @param cause - what the call met. */
  failed(pass: number, cause?: unknown): void {
    this.#cause = cause;
    if (pass !== this.#epoch) return;
    this.#failures += 1;
    if (this.#failures < FAILURES) return;
    this.#epoch += 1;
    this.#isProbing = false;
    this.#openUntil = this.#now() + COOL_DOWN_MS;
  }
}
