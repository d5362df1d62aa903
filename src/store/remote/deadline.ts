/** Present in all runtimes, but not declared by ES2022. */
declare function setTimeout(run: () => void, ms: number): object;
declare function clearTimeout(timer: object): void;

/** How long a reply may take to be read after it has arrived. */
const GRACE_MS = 5;

/**
 * Rejects when a reply is late. Several clients never settle a promise when their server is gone, so their timeouts are not enough.
 *
 * A late reply is dropped. No timer is left behind.
 */
export class Deadline {
  readonly #ms: number;
  readonly #late: () => Error;

  /**
   * @param ms - at most 2^31 - 1: for more, timers fire immediately.
   * @param late - makes the error of a late reply.
   */
  constructor(ms: number, late: () => Error) {
    this.#ms = ms;
    this.#late = late;
  }

  /**
   * Sends a request, and settles as its reply does, or rejects when it is late. An error that `send` throws is a rejection.
   *
   * @param send - `isLate` returns true once the result is no longer used.
   */
  over<T>(send: (isLate: () => boolean) => T | PromiseLike<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      let isLate = false;
      const reply = Promise.resolve(send(() => isLate));
      // In two steps: after a stall of this process, timers run before sockets are read, and the reply may have arrived.
      let timer = setTimeout(() => {
        timer = setTimeout(() => {
          isLate = true;
          reject(this.#late());
        }, GRACE_MS);
      }, this.#ms);
      reply.then(
        (value) => {
          clearTimeout(timer);
          resolve(value);
        },
        (error: unknown) => {
          clearTimeout(timer);
          reject(error);
        },
      );
    });
  }
}
