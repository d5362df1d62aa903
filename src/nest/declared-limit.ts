import type { ExecutionContext } from "@nestjs/common";
import { assertOptionalFunction, ownCopy, typeError } from "../core/validate.js";
import type { MaybePromise } from "../http/options.js";
import type { AsyncRateLimiterOptions } from "../limiter/async-rate-limiter.js";
import { AsyncRateLimiter } from "../limiter/async-rate-limiter.js";
import type { LimiterOptions } from "../limiter/options.js";

/** A store, of which HTTP knows no more than that a limiter takes it. */
export type LimiterStore = NonNullable<LimiterOptions<string>["store"]>;

/** The options of a limit in `@RateLimit`: those of an `AsyncRateLimiter`, and a key. */
export type DeclaredLimitOptions = AsyncRateLimiterOptions & {
  /**
   * A function that returns the key of a call: a string, or a promise of one. If it returns `null`, this limit does not apply.
   * @default the `key` of the module, or else the client's address
   */
  readonly key?: ((context: ExecutionContext) => MaybePromise<string | null>) | undefined;
};

/** A limit that `@RateLimit` declares, with one limiter for each store that modules put it into. */
export class DeclaredLimit {
  readonly key: DeclaredLimitOptions["key"];
  readonly #options: AsyncRateLimiterOptions;
  readonly #inMemory: AsyncRateLimiter;
  readonly #inStores = new WeakMap<LimiterStore, AsyncRateLimiter>();

  /**
   * @param place - the name of the class and method, which is the default name of the limit.
   * @throws TypeError for an option that is unknown or of the wrong type, RangeError for one out of range.
   */
  constructor(options: DeclaredLimitOptions, place: string) {
    if (typeof options !== "object" || (options as unknown) === null) {
      throw typeError("@RateLimit", "names of limits, and objects such as `{ maxCalls, period }`", options);
    }
    const { key, name = place, ...own } = ownCopy(options);
    assertOptionalFunction("key", key);
    this.key = key;
    this.#options = ownCopy({ ...own, name });
    this.#inMemory = new AsyncRateLimiter(this.#options);
  }

  get name(): string {
    return this.#inMemory.name;
  }

  /** Returns the limiter in a store: by default, and if the limit has a store of its own, that one or the memory of the process. */
  limiterIn(store: LimiterStore | undefined): AsyncRateLimiter {
    if (store === undefined || this.#options.store !== undefined) return this.#inMemory;
    const known = this.#inStores.get(store);
    if (known !== undefined) return known;
    const limiter = new AsyncRateLimiter({ ...this.#options, store, clock: undefined });
    this.#inStores.set(store, limiter);
    return limiter;
  }
}
