/** What the runtimes have in common, and ES2022 does not name. */
declare function setTimeout(run: () => void, ms: number): object;
declare function clearTimeout(timer: object): void;

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

  /** Asks, and passes on the answer, or the failure, or that it is late. What `question` throws is a rejection. */
  over<T>(question: () => Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const answer = question();
      const timer = setTimeout(() => {
        reject(this.#late());
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
