/**
 * Runs sections of code one after another, each alone for its key: a chain of promises for each key that has any.
 *
 * The sections of a key run in the order in which {@link run} was called. A section ends when its promise settles, and not earlier:
 * one that never settles keeps its key. Sections of different keys do not wait for each other.
 */
export class Mutex {
  /** The end of the latest section of each key. It never rejects. */
  readonly #ends = new Map<string, Promise<void>>();

  /** The keys with a section that runs or waits. */
  keys(): Iterable<string> {
    return this.#ends.keys();
  }

  /** Runs a section after the earlier ones of its key, whether they succeeded or failed, and settles as it does. */
  run<T>(key: string, section: () => T | PromiseLike<T>): Promise<T> {
    const result = (this.#ends.get(key) ?? Promise.resolve()).then(section);
    const leave = (): void => {
      if (this.#ends.get(key) === end) this.#ends.delete(key);
    };
    const end: Promise<void> = result.then(leave, leave);
    this.#ends.set(key, end);
    return result;
  }
}
