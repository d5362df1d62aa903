/**
 * A mutual exclusion of sections of code, as a chain of promises: one section at a time, in the order they came.
 *
 * It exists for stores that read, wait and write. A synchronous section on an idle lock costs no promise and no turn of
 * the event loop.
 */
export class Mutex {
  /** How many sections are running or queued. */
  #pending = 0;
  /** Settles when the last section that was queued has ended. */
  #tail: Promise<unknown> = Promise.resolve();

  /** Whether a section is running or queued, so that the next one would have to wait. */
  get isHeld(): boolean {
    return this.#pending > 0;
  }

  /**
   * Takes an idle lock at once, for a synchronous section that is called too often to be a function of its own. Whoever is
   * answered true must {@link release} it, whatever happens; false where it is held.
   */
  tryHold(): boolean {
    if (this.#pending > 0) return false;
    this.#pending = 1;
    return true;
  }

  /** Gives back what {@link tryHold} took. */
  release(): void {
    this.#pending -= 1;
  }

  /**
   * Runs `section` when every section before it has ended, and passes on what it returns or throws.
   *
   * On an idle lock the section runs at once, and a synchronous one's value is returned as it is. A section that is
   * queued, or returns a promise, makes a promise of the result; the lock is held until that settles. A section that
   * fails leaves the lock to the next.
   */
  run<T>(section: () => T | PromiseLike<T>): T | Promise<T> {
    if (this.#pending > 0) {
      this.#pending += 1;
      return this.#held(this.#tail.then(section));
    }
    this.#pending = 1;
    let result: T | PromiseLike<T>;
    try {
      result = section();
    } catch (error) {
      this.#pending -= 1;
      throw error;
    }
    if (isPromiseLike(result)) return this.#held(Promise.resolve(result));
    this.#pending -= 1;
    return result;
  }

  /** Keeps the lock until `result` has settled. Precondition: `result` is already counted in `#pending`. */
  #held<T>(result: Promise<T>): Promise<T> {
    const release = (): void => {
      this.#pending -= 1;
    };
    this.#tail = result.then(release, release);
    return result;
  }
}

/** Tells a promise of a value from the value. */
export function isPromiseLike<T>(value: T | PromiseLike<T>): value is PromiseLike<T> {
  return typeof (value as PromiseLike<T> | null | undefined)?.then === "function";
}

/** Passes on a value at once where it is there, and else when it is. */
export function andThen<T, R>(value: T | PromiseLike<T>, then: (value: T) => R | Promise<R>): R | Promise<R> {
  return isPromiseLike(value) ? Promise.resolve(value).then(then) : then(value);
}
