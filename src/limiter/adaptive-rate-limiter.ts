import { callListener, warn } from "../core/callbacks.js";
import type { Decision, LayerStatus } from "../core/decision.js";
import type { Duration } from "../core/duration.js";
import type { Limit } from "../core/limit.js";
import { limitFrom } from "../core/limit.js";
import { typeError, assertFraction, assertOptionalFunction, memberOf } from "../core/validate.js";
import type { LimitsInForce, WhenReduced } from "./decide.js";
import type { LimiterOptions } from "./options.js";
import { checkedOptions } from "./options.js";
import { RateLimiter } from "./rate-limiter.js";

/** Options of an {@link AdaptiveRateLimiter}. */
export type AdaptiveRateLimiterOptions<K extends string = string> = {
  /** The most that calls may cost together in any window without load. A whole number from 0 to 16,777,216. */
  readonly baseMaxCalls: number;
  /**
   * The length of the window: a duration, or a bare number of **seconds**. About a second for a limit that follows the load:
   * when a limit is cut to the fraction `f`, a key at its limit is refused for `(1 - f) * period`.
   */
  readonly period: number | Duration;
} & (
  | {
      /** The source that sets the limit. Without it, {@link AdaptiveRateLimiter.adjustForLoad} does. */
      readonly load: LoadSource;
      /** Not together with `load`, which computes the factor itself. */
      readonly curve?: undefined;
    }
  | {
      readonly load?: undefined;
      /** Returns the fraction of the limit to enforce at a load. @default half above 0.8 CPU or 0.9 memory, 0.7 above 0.6 or 0.7, else all */
      readonly curve?: LoadCurve | undefined;
    }
) &
  LimiterOptions<K>;

/**
 * A limit that shrinks under load: at most `maxCalls` calls per key in any window. `maxCalls` is `baseMaxCalls` without load and
 * a fraction of it under load, and never below 1, unless `baseMaxCalls` is 0.
 *
 * The fraction comes from {@link adjustForLoad}, or from a `LoadMonitor` passed as `load`. A changed limit reads the same log at
 * another depth: no history is migrated, and no call is admitted beyond the limit in force at that instant. If the full limit
 * would admit a refused call, the decision has `refusedBy: "load"`: respond with a 503, and not with a 429.
 *
 * @example
 * const limiter = new AdaptiveRateLimiter({ baseMaxCalls: 100, period: "1s", load: new LoadMonitor() });
 * const { allowed, refusedBy } = await limiter.check("all");
 * if (!allowed) return reply.status(refusedBy === "load" ? 503 : 429).send();
 */
export class AdaptiveRateLimiter<in K extends string = string> extends RateLimiter<K, number> {
  readonly #load: LoadSource | undefined;
  readonly #curve: LoadCurve;
  #loadFactor: number;
  #stopListening: (() => void) | undefined;

  /** @throws TypeError for an option that is unknown or of the wrong type, RangeError for one out of range. */
  constructor(options: AdaptiveRateLimiterOptions<K>) {
    const checked = checkedOptions(options, ["baseMaxCalls", "period", "load", "curve"]);
    const { baseMaxCalls, period, load: source, curve, onDecision } = checked;
    const full = limitFrom({ maxCalls: baseMaxCalls, period }, "baseMaxCalls");
    assertOptionalFunction("curve", curve);
    const load = source === undefined ? undefined : loadSourceFrom(source);
    if (load !== undefined && (curve as unknown) !== undefined) {
      throw typeError("curve", "absent beside `load`, which computes the factor itself", curve);
    }
    const factor = load === undefined ? 1 : assertFraction("load.factor", load.factor, true);
    super([full], load === undefined ? checked : { ...checked, onDecision: reporting(load, onDecision) });
    this.#load = load;
    this.#curve = curve ?? defaultCurve;
    this.#loadFactor = factor;
    this.#enforce(factor);
    if (load !== undefined) this.#listen(load);
  }

  /** The most that calls may cost in a window without load. */
  get baseMaxCalls(): number {
    const [{ maxCalls, reducedFrom = maxCalls }] = this.limits as [Limit];
    return reducedFrom;
  }

  /** The most that calls may cost in a window now. */
  get maxCalls(): number {
    return (this.limits as [Limit])[0].maxCalls;
  }

  /** The fraction of the base limit that is enforced now, from 0 to 1. The limit itself is rounded down, and at least 1. */
  get loadFactor(): number {
    return this.#loadFactor;
  }

  /**
   * Sets the limit to what the curve returns for a load, from the next call on until this method is called again.
   *
   * A cost between the reduced limit and the base limit has a `retryAfterMs` of `Infinity` and `refusedBy: "load"`: it can be
   * admitted after the next adjustment, whose time is unknown.
   *
   * @param cpuUsage - the fraction of the processor that is in use, from 0 to 1.
   * @param memoryUsage - the fraction of the memory that is in use, from 0 to 1.
   * @throws TypeError if one is not a number, or the limiter has a `load`; RangeError if one, or the result of the curve, is not
   *   from 0 to 1. The limit is unchanged then.
   *
   * @example
   * limiter.adjustForLoad(0.85, 0.4);
   * limiter.maxCalls; // 50, of a base of 100
   */
  adjustForLoad(cpuUsage: number, memoryUsage: number): void {
    if (this.#load !== undefined) {
      throw typeError("load", "absent for adjustForLoad: it sets the limit of this limiter", this.#load);
    }
    const load = {
      cpuUsage: assertFraction("cpuUsage", cpuUsage, true),
      memoryUsage: assertFraction("memoryUsage", memoryUsage, true),
    };
    this.#enforce(assertFraction("curve(load)", this.#curve(load), true));
  }

  /** Closes this limiter like any other, and stops listening to its load source, which stays open for other limiters. */
  override close(): void {
    super.close();
    abandoned?.unregister(this);
    this.#stopListening?.();
    this.#stopListening = undefined;
  }

  /** Precondition: the factor is from 0 to 1. */
  #enforce(factor: number): void {
    this.#loadFactor = factor;
    if (reducedCalls(factor, this.baseMaxCalls) !== this.maxCalls) this.replaceLimits();
  }

  /** Reduces the `maxCalls` of a call as it reduces the base limit. */
  protected override enforced(full: readonly Limit[]): LimitsInForce {
    const limits = Object.freeze(full.map((limit) => reducedTo(this.#loadFactor, limit)));
    const isReduced = limits.some(({ reducedFrom }) => reducedFrom !== undefined);
    return { limits, whenReduced: isReduced ? whenReduced(this.#load?.intervalMs) : undefined };
  }

  #listen(load: LoadSource): void {
    // A source may live as long as the process. It must not keep a limiter alive, or the listener of a collected one.
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
      warn("SLUICEGATE_LOAD_FAILED", "A load source gave an invalid factor; the limit is unchanged", error);
    }
  }
}

/** Created for the first limiter with a `load`: some runtimes do not have the class. */
let abandoned: FinalizationRegistry<() => void> | undefined;

/** Ends the listening of a limiter that was garbage-collected. */
function stopListening(stop: () => void): void {
  callListener(stop, (error) => {
    warn("SLUICEGATE_LOAD_FAILED", "A load source failed to remove a listener", error);
  });
}

/** A `maxCalls` reduced to a fraction, rounded down; never to 0, which would refuse every call. */
function reducedCalls(factor: number, base: number): number {
  // The product may fall short of a whole number by its last bit: 0.29 * 100 is 28.999999999999996.
  return Math.min(base, Math.max(1, Math.floor(base * factor + 1e-9)));
}

function reducedTo(factor: number, full: Limit): Limit {
  const maxCalls = reducedCalls(factor, full.maxCalls);
  return maxCalls === full.maxCalls ? full : Object.freeze({ ...full, maxCalls, reducedFrom: full.maxCalls });
}

/**
 * Completes refusals by a reduced limit. A cost between the reduced limit and the full one can be admitted after the limit has been
 * raised, so its wait is not infinite.
 *
 * @param reviewAfterMs - milliseconds until the limit is reviewed, at most; `Infinity` if that is unknown.
 */
function whenReduced(reviewAfterMs: number = Infinity): WhenReduced {
  return (layers, cost) => {
    const [layer] = layers as readonly [LayerStatus];
    const { used, resetAfterMs, reducedFrom = 0 } = layer;
    const fullAllows = used + cost <= reducedFrom;
    if (layer.retryAfterMs < Infinity || cost > reducedFrom) return { layers, fullAllows };
    const retryAfterMs = Math.max(reviewAfterMs, fullAllows ? 0 : resetAfterMs);
    return { layers: [{ ...layer, retryAfterMs }], fullAllows };
  };
}

/** Reports the used fraction of the call's full limit to the source after each decision, then calls `onDecision`. */
function reporting<K extends string>(
  load: LoadSource,
  onDecision: ((decision: Decision, key: K) => unknown) | undefined,
): (decision: Decision, key: K) => unknown {
  return (decision, key) => {
    const [{ used, maxCalls, reducedFrom = maxCalls }] = decision.layers as readonly [LayerStatus];
    // At most 1: other calls of the key may have a higher limit.
    if (!decision.bypassed && reducedFrom > 0) load.report(Math.min(1, used / reducedFrom));
    return onDecision?.(decision, key);
  };
}

/** The source of an `AdaptiveRateLimiter`: a `LoadMonitor` of `sluicegate/load`, or another implementation. */
export interface LoadSource {
  /** The fraction of their base limits that limiters enforce now: from 0 to 1. */
  readonly factor: number;
  /** The interval at which the factor is computed, in milliseconds. */
  readonly intervalMs: number;
  /** Calls `listener` with each new factor from now on. @returns a function that removes the listener. */
  listen(listener: (factor: number) => void): () => void;
  /**
   * Called after each decision with the fraction of the base limit that the key has used, from 0 to 1. The source can infer how
   * far the limit is above the real traffic.
   */
  report(used: number): void;
}

/**
 * Checks that `value` is a load source and returns it.
 *
 * @throws TypeError if a member is missing or of the wrong type.
 */
function loadSourceFrom(value: unknown): LoadSource {
  const has = (member: keyof LoadSource, type: "number" | "function"): boolean =>
    typeof memberOf(value, member) === type;
  if (
    !has("factor", "number") ||
    !has("intervalMs", "number") ||
    !has("listen", "function") ||
    !has("report", "function")
  ) {
    throw typeError("load", "a LoadMonitor, or another load source", value);
  }
  return value as LoadSource;
}

/** The load of a service, as fractions from 0 to 1. */
export interface Load {
  /** The fraction of the processor that is in use. */
  readonly cpuUsage: number;
  /** The fraction of the memory that is in use. */
  readonly memoryUsage: number;
}

/** Returns the fraction of the base limit to enforce at a load: from 0 to 1. */
export type LoadCurve = (load: Load) => number;

/** Half the limit above 80% of the processor or 90% of the memory, 70% of it above 60% or 70%, else all of it. */
const defaultCurve: LoadCurve = ({ cpuUsage, memoryUsage }) => {
  if (cpuUsage > 0.8 || memoryUsage > 0.9) return 0.5;
  return cpuUsage > 0.6 || memoryUsage > 0.7 ? 0.7 : 1;
};
