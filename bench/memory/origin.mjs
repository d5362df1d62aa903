// A literal port of the Python module that sluicegate is based on. Each call copies the unexpired part of the log of its key. The
// port does not read the environment, which costs more in Node than in Python.

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
