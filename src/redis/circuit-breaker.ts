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

  /** @param now - milliseconds of a clock that never goes back. */
  constructor(now: () => number) {
    this.#now = now;
  }

  /** Whether a call may be made. Of a call that may, the outcome must be told. */
  admits(): boolean {
    if (this.#failures < FAILURES) return true;
    if (this.#isProbing || this.#now() < this.#openUntil) return false;
    this.#isProbing = true;
    return true;
  }

  succeeded(): void {
    this.#failures = 0;
    this.#isProbing = false;
  }

  failed(): void {
    this.#failures += 1;
    this.#isProbing = false;
    this.#openUntil = this.#now() + COOL_DOWN_MS;
  }
}
