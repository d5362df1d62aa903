/** What the runtimes have in common, and ES2022 does not name. */
declare function setTimeout(run: () => void, ms: number): object;
declare function clearTimeout(timer: object): void;

/** How long an answer that is there already is waited for to be read. */
const GRACE_MS = 5;

/**
 * Gives answers a deadline. Several clients never answer at all when their server is gone, so theirs cannot be relied on.
 *
 * An answer that comes too late is dropped, whatever it is. No timer is left behind.
 */
export class Deadline {
  readonly #ms: number;
  readonly #late: () => Error;

  /**
   * @param ms - at most 2^31 - 1: timers fire at once for more.
   * @param late - makes the error of a deadline that has passed.
   */
  constructor(ms: number, late: () => Error) {
    this.#ms = ms;
    this.#late = late;
  }

  /**
   * Asks, and passes on the answer, or the failure, or that it is late. What `question` throws is a rejection.
   *
   * @param question - is told by `isLate` when nobody waits for it any more.
   */
  over<T>(question: (isLate: () => boolean) => T | PromiseLike<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      let isLate = false;
      const answer = Promise.resolve(question(() => isLate));
      // In two steps. After a stall of this process, timers run before the sockets are read: the answer may be there.
      let timer = setTimeout(() => {
        timer = setTimeout(() => {
          isLate = true;
          reject(this.#late());
        }, GRACE_MS);
      }, this.#ms);
      answer.then(
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
