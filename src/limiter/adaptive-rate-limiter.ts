import { callListener, warn } from "../core/callbacks.js";
import type { Decision, LayerStatus } from "../core/decision.js";
import type { Duration } from "../core/duration.js";
import type { Limit } from "../core/limit.js";
import { enforceable } from "../core/limit.js";
import { argumentError, assertFraction, assertOptionalFunction, memberOf } from "../core/validate.js";
import type { LimiterOptions } from "./options.js";
import { checkedOptions } from "./options.js";
import { RateLimiter } from "./rate-limiter.js";

/** Options of an {@link AdaptiveRateLimiter}. */
export type AdaptiveRateLimiterOptions<K extends string = string> = {
  /** The most that calls may cost together in any window in quiet times. A whole number from 0 to 16,777,216. */
  readonly baseMaxCalls: number;
  /**
   * The length of the window: a duration, or a bare number of **seconds**. About a second, for a limit that is to follow the
   * load: a key at its limit is answered by a cut to a share `f` with silence for `(1 - f) * period`.
   */
  readonly period: number | Duration;
} & (
  | {
      /** What the limit follows by itself. Without it, {@link AdaptiveRateLimiter.adjustForLoad} moves the limit. */
      readonly load: LoadSource;
      /** Not beside `load`, which has a law of its own. */
      readonly curve?: undefined;
    }
  | {
      readonly load?: undefined;
      /** What to enforce at which load. @default half above 0.8 CPU or 0.9 memory, 0.7 above 0.6 or 0.7, else all */
      readonly curve?: LoadCurve | undefined;
    }
) &
  LimiterOptions<K>;

/**
 * A limit that shrinks while the service is busy: at most `maxCalls` calls per key in any window, which is `baseMaxCalls`
 * in quiet times and a share of it under load; never below 1, unless `baseMaxCalls` is 0.
 *
 * The share comes from {@link adjustForLoad}, or from a `LoadMonitor` handed over as `load`. A limit that moves asks the
 * same log at another depth: nothing is migrated, and no call is admitted beyond the limit in force at that instant. A
 * refusal that quiet times would not have seen has `refusedBy: "load"`: answer it with a 503, and not with a 429.
 *
 * @example
 * const limiter = new AdaptiveRateLimiter({ baseMaxCalls: 100, period: "1s", load: new LoadMonitor() });
 * const { allowed, refusedBy } = await limiter.check("all");
 * if (!allowed) return reply.status(refusedBy === "load" ? 503 : 429).send();
 */
export class AdaptiveRateLimiter<in K extends string = string> extends RateLimiter<K> {
  readonly #full: Limit;
  readonly #load: LoadSource | undefined;
  readonly #curve: LoadCurve;
  #loadFactor: number;
  #stopListening: (() => void) | undefined;

  /** @throws TypeError for an option that is unknown or of the wrong type, RangeError for one out of range. */
  constructor(options: AdaptiveRateLimiterOptions<K>) {
    const checked = checkedOptions(options, ["baseMaxCalls", "period", "load", "curve"]);
    const { baseMaxCalls, period, load: source, curve, onDecision } = checked;
    const full = enforceable({ maxCalls: baseMaxCalls, period }, "baseMaxCalls");
    assertOptionalFunction("curve", curve);
    const load = source === undefined ? undefined : loadSourceFrom(source);
    if (load !== undefined && (curve as unknown) !== undefined) {
      throw new TypeError(argumentError("curve", "absent beside `load`, which has a law of its own", curve));
    }
    const factor = load === undefined ? 1 : assertFraction("load.factor", load.factor, true);
    super([full], load === undefined ? checked : { ...checked, onDecision: reporting(load, full, onDecision) });
    this.#full = full;
    this.#load = load;
    this.#curve = curve ?? defaultCurve;
    this.#loadFactor = factor;
    this.#enforce(factor);
    if (load !== undefined) this.#listen(load);
  }

  /** The most that calls may cost in a window in quiet times. */
  get baseMaxCalls(): number {
    return this.#full.maxCalls;
  }

  /** The most that calls may cost in a window now. */
  get maxCalls(): number {
    return (this.limits as [Limit])[0].maxCalls;
  }

  /** The share of the base limit that is enforced now, from 0 to 1; the limit itself is rounded down, and at least 1. */
  get loadFactor(): number {
    return this.#loadFactor;
  }

  /**
   * Moves the limit to what the curve says of a load, from the next call on.
   *
   * It stays there until it is called again. A cost between the limit then and the base limit has a `retryAfterMs` of
   * `Infinity`, with `refusedBy: "load"`: it could pass later, and nobody knows when.
   *
   * @param cpuUsage - the share of the processor that is in use, from 0 to 1.
   * @param memoryUsage - the share of the memory that is in use, from 0 to 1.
   * @throws TypeError when one is not a number, or the limiter follows a `load` by itself; RangeError when one, or what the
   *   curve makes of them, is not from 0 to 1. The limit is as it was then.
   *
   * @example
   * limiter.adjustForLoad(0.85, 0.4);
   * limiter.maxCalls; // 50, of a base of 100
   */
  adjustForLoad(cpuUsage: number, memoryUsage: number): void {
    if (this.#load !== undefined) {
      throw new TypeError(
        argumentError("load", "absent for adjustForLoad: this limiter follows it by itself", this.#load),
      );
    }
    const load = {
      cpuUsage: assertFraction("cpuUsage", cpuUsage, true),
      memoryUsage: assertFraction("memoryUsage", memoryUsage, true),
    };
    this.#enforce(assertFraction("curve(load)", this.#curve(load), true));
  }

  /** Closes this limiter, as any other, and stops listening to its load source, which goes on for others. */
  override close(): void {
    super.close();
    abandoned?.unregister(this);
    this.#stopListening?.();
    this.#stopListening = undefined;
  }

  /** Precondition: the factor is a share. */
  #enforce(factor: number): void {
    this.#loadFactor = factor;
    const limit = reducedTo(factor, this.#full);
    if (limit.maxCalls !== this.maxCalls) this.moveLimits([limit], this.#load?.intervalMs);
  }

  #listen(load: LoadSource): void {
    // A source lives as long as its process. It must keep neither a limiter alive, nor the listener of a limiter that is gone.
    const self = new WeakRef(this);
    const stop = load.listen((factor) => {
      const limiter = self.deref();
      if (limiter !== undefined) limiter.#follow(factor);
    });
    this.#stopListening = stop;
    abandoned ??= new FinalizationRegistry(stopListening);
    abandoned.register(this, stop, this);
  }

  /** An invalid factor changes nothing. */
  #follow(factor: unknown): void {
    try {
      this.#enforce(assertFraction("load.factor", factor, true));
    } catch (error) {
      warn("A load source gave a factor that is none; the limit stays as it is", error);
    }
  }
}

/** Created for the first limiter with a `load`: some runtimes do not have the class. */
let abandoned: FinalizationRegistry<() => void> | undefined;

/** Ends the listening of a limiter that was garbage-collected. */
function stopListening(stop: () => void): void {
  callListener(stop, (error) => {
    warn("A load source failed to remove a listener", error);
  });
}

/** The limit at a share of its depth, rounded down; never 0, which would lock everybody out. */
function reducedTo(factor: number, full: Limit): Limit {
  // The product may fall short of a whole number by its last bit: 0.29 * 100 is 28.999999999999996.
  const maxCalls = Math.max(1, Math.floor(full.maxCalls * factor + 1e-9));
  return maxCalls >= full.maxCalls ? full : Object.freeze({ ...full, maxCalls, reducedFrom: full.maxCalls });
}

/** Tells the source of each decision how much of the full limit its key has live, and then whoever listens besides. */
function reporting<K extends string>(
  load: LoadSource,
  full: Limit,
  onDecision: ((decision: Decision, key: K) => unknown) | undefined,
): (decision: Decision, key: K) => unknown {
  return (decision, key) => {
    const [{ used }] = decision.layers as readonly [LayerStatus];
    // Other processes that share the log may have a higher limit.
    if (!decision.bypassed && full.maxCalls > 0) load.report(Math.min(1, used / full.maxCalls));
    return onDecision?.(decision, key);
  };
}

/** What an `AdaptiveRateLimiter` follows: a `LoadMonitor` of `sluicegate/load`, or a source of your own. */
export interface LoadSource {
  /** The share of their base limits that limiters enforce now: from 0 to 1. */
  readonly factor: number;
  /** How often the factor is looked at again, in milliseconds. */
  readonly intervalMs: number;
  /** Calls `listener` with each new factor from now on. @returns a function that ends that. */
  listen(listener: (factor: number) => void): () => void;
  /**
   * Hears after each decision how much of its base limit a key has live: from 0 to 1. It tells how far above the real
   * traffic a limit floats.
   */
  report(used: number): void;
}

/**
 * Checks that `value` is a load source and returns it.
 *
 * @throws TypeError when a part is missing or of the wrong type.
 */
export function loadSourceFrom(value: unknown): LoadSource {
  const has = (part: keyof LoadSource, type: "number" | "function"): boolean => typeof memberOf(value, part) === type;
  if (
    !has("factor", "number") ||
    !has("intervalMs", "number") ||
    !has("listen", "function") ||
    !has("report", "function")
  ) {
    throw new TypeError(argumentError("load", "a LoadMonitor, or another load source", value));
  }
  return value as LoadSource;
}

/** What a service is busy with, as shares from 0 to 1. */
export interface Load {
  /** The share of the processor that is in use. */
  readonly cpuUsage: number;
  /** The share of the memory that is in use. */
  readonly memoryUsage: number;
}

/** Tells for a load which share of the base limit to enforce: from 0 to 1. */
export type LoadCurve = (load: Load) => number;

/** Half the limit above 80% of the processor or 90% of the memory, 70% of it above 60% or 70%, else all of it. */
export const defaultCurve: LoadCurve = ({ cpuUsage, memoryUsage }) => {
  if (cpuUsage > 0.8 || memoryUsage > 0.9) return 0.5;
  return cpuUsage > 0.6 || memoryUsage > 0.7 ? 0.7 : 1;
};
