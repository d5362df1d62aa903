// The Python module that sluicegate carries into TypeScript, word for word: every call copies the log of its key, without
// what has expired. Left out is its look at the environment, which costs Node more than Python.

/** `asyncio.Lock`. */
class Lock {
  #isHeld = false;
  #waiters = [];

  async acquire() {
    while (this.#isHeld) await new Promise((resolve) => this.#waiters.push(resolve));
    this.#isHeld = true;
  }

  release() {
    this.#isHeld = false;
    this.#waiters.shift()?.();
  }
}

export class OriginRateLimiter {
  calls = new Map();
  #lock = new Lock();

  /** @param period - in seconds. */
  constructor(maxCalls, period) {
    this.maxCalls = maxCalls;
    this.period = period;
  }

  async isAllowed(key) {
    const now = performance.now() / 1000;
    await this.#lock.acquire();
    try {
      const calls = (this.calls.get(key) ?? []).filter((at) => at > now - this.period);
      this.calls.set(key, calls);
      const allowed = calls.length < this.maxCalls;
      if (allowed) calls.push(now);
      return allowed;
    } finally {
      this.#lock.release();
    }
  }
}
