import { bypassFrom } from "../core/bypass.js";
import type { Clock } from "../core/clock.js";
import { monotonicClock } from "../core/clock.js";
import { nextInProcess, publish } from "../core/copies.js";
import type { Decision } from "../core/decision.js";
import { receiptOf } from "../core/decision.js";
import { LimiterClosedError } from "../core/errors.js";
import { argumentError, memberOf, ownCopy } from "../core/validate.js";
import type { Limit } from "../core/limit.js";
import { andThen } from "../core/callbacks.js";
import type { AsyncNamespace, KeyState, Namespace, Store, SyncNamespace, StoreResult } from "../store/store.js";
import { namespaceName } from "../store/store.js";
import type { AcquireOptions } from "./acquire-options.js";
import { parseAcquireOptions } from "./acquire-options.js";
import { AcquireQueues } from "./acquire-queue.js";
import type { LimitsInForce } from "./decide.js";
import { notify, unlimitedDecision, toDecision } from "./decide.js";
import type { CallOptions, LimiterOptions } from "./options.js";
import { assertKey, parseCost, storeFrom } from "./options.js";
import type { MemberCall, PublishedLimiter } from "./member-call.js";
import type { Pace } from "./release-log.js";
import { paceInLog, paceInMemory, unpaced } from "./release-log.js";

/** What `isAllowed` returns in memory: no call needs a promise of its own. */
const ALLOWED = Promise.resolve(true);
const REFUSED = Promise.resolve(false);

/**
 * What every limiter is: limits asked of one space of a store, at each call. The kinds of limiter are constructors over
 * it, which fix what the limits are; none overrides a verb. A limiter of narrower keys is not one of wider keys (`in K`).
 *
 * All verbs but `checkSync` are asynchronous and reject, and never throw: with a `TypeError` or `RangeError` for a key or
 * cost that is not one, with a `StoreError` when the store cannot answer, and with a `LimiterClosedError` after
 * {@link close}. A refusal is a value and not an exception.
 */
export class RateLimiter<in K extends string = string> {
  static {
    const functions: PublishedLimiter = {
      isLimiter: (value) => #order in value,
      memberCall: (limiter, key, cost) => (limiter as RateLimiter<never>).#memberCall(key, cost),
    };
    publish(this.prototype, "limiter", functions);
  }

  readonly #order = nextInProcess();
  readonly #store: Store;
  readonly #isShadow: boolean;
  /** The namespace in a synchronous store, and the one in an asynchronous store. One of them is undefined. */
  #sync: SyncNamespace | undefined;
  #async: AsyncNamespace | undefined;
  #bypass: ((key: K) => boolean) | undefined;
  readonly #onDecision: ((decision: Decision, key: K) => unknown) | undefined;

  #inForce: LimitsInForce;
  #pace: Pace | undefined;
  readonly #recheck = (key: string): void => this.#queues?.recheck(key);
  #queues: AcquireQueues | undefined;
  #isClosed = false;
  /** What this limiter is called in its store. */
  readonly name: string;
  /** Whether its store answers at once, as those in memory do: then {@link checkSync} may be asked. */
  readonly synchronous: boolean;
  /** Whether process warnings about misuse of this limiter are issued. */
  readonly warnings: boolean;

  /** @param options - checked already by the limiter's own constructor, which knows what else it takes. */
  protected constructor(limits: readonly Limit[], options: LimiterOptions<K>) {
    const own = ownCopy(options);
    const { name = "default" } = own;
    this.name = namespaceName(name);
    this.#inForce = { limits: Object.freeze([...limits]), reviewAfterMs: Infinity };
    this.#isShadow = own.mode === "shadow";
    this.#bypass = bypassFrom(own.bypass);
    this.#onDecision = own.onDecision;
    this.#store = storeFrom(own);
    this.warnings = own.warnings ?? true;
    this.synchronous = this.#store.synchronous;
    // Last, because an opened space stays open: what was refused above has not taken the name.
    const periodsMs = limits.map(({ periodMs }) => periodMs);
    if (this.#store.synchronous) this.#sync = this.#store.open(this.name, periodsMs);
    else this.#async = this.#store.open(this.name, periodsMs);
  }

  /** The limits enforced now, in order. */
  get limits(): readonly Limit[] {
    return this.#inForce.limits;
  }

  /**
   * Changes how deep the log is asked from the next call on; what it holds stays as it is. Precondition: as many limits as
   * before, of the same periods, which are fixed when a space is opened.
   *
   * @param reviewAfterMs - when they are looked at again, at the latest, in milliseconds; `Infinity` where nobody knows.
   */
  protected moveLimits(limits: readonly Limit[], reviewAfterMs: number = Infinity): void {
    this.#inForce = { limits: Object.freeze([...limits]), reviewAfterMs };
    this.#queues?.recheck();
  }

  /**
   * Whether a call of `key` may go ahead; it is recorded if so. The short form of {@link check}, and the cheapest verb.
   *
   * @example
   * if (!(await limiter.isAllowed(email))) return reply.status(429).send();
   */
  isAllowed(key: K, options?: CallOptions): Promise<boolean> {
    const space = this.#sync;
    if (space === undefined) return this.#allowsLater(key, options);
    try {
      return this.#allows(space, key, options) ? ALLOWED : REFUSED;
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /**
   * Decides on a call of `key`, records it if every limit lets it pass, and tells what each limit stands at. A refused
   * call records nothing and extends no wait.
   *
   * @example
   * const { allowed, retryAfterMs } = await limiter.check(email, { cost: 2 });
   */
  async check(key: K, options?: CallOptions): Promise<Decision> {
    return this.#sync === undefined ? this.#decideLater(key, options) : this.#decide(this.#sync, key, options);
  }

  /**
   * {@link check} without a promise, for stores in memory.
   * @throws TypeError where the store is not synchronous, and for a key or cost that is not one; LimiterClosedError after
   *   {@link close}.
   */
  checkSync(key: K, options?: CallOptions): Decision {
    const space = this.#sync;
    if (space === undefined)
      throw new TypeError(argumentError("store", "synchronous: use `check` here", "asynchronous"));
    return this.#decide(space, key, options);
  }

  /**
   * Waits until a call of `key` is admitted, and resolves with the decision.
   *
   * The waiters of one key at this limiter object are first in, first out. `check` and `isAllowed` do not queue, so they may
   * take a place before the first waiter does. A refund, a reset and another limit of this limiter wake the first waiter.
   * A waiter keeps the process alive.
   *
   * The call is recorded when its caller is released, and never while synchronous code runs. No more callers continue in any
   * window of real time than the limits allow, however busy the process is and whatever the delay of the store. An asynchronous
   * store decides one call of a key, and then as many at once as that decision says remain, up to 100.
   *
   * @throws RateLimitExceededError (as a rejection) when the wait fails; its `waitFailedBy` says why. It comes at once
   *   when `maxQueue` calls wait already, when the cost exceeds a limit, or when the first instant that the log allows lies
   *   behind `timeout`; else when the timeout ends. The reason of `signal`, when that is aborted. A `StoreError` when the store
   *   cannot decide, or has decided no call of the key between the start and the timeout.
   *
   * @example
   * await limiter.acquire("api.example.org", { timeout: "10s", signal });
   */
  acquire(key: K, options?: AcquireOptions): Promise<Decision> {
    // Not `async`: its promise would settle some microtasks after the call is recorded. What throws here rejects as well.
    return new Promise((resolve, reject) => {
      assertKey(key);
      const request = parseAcquireOptions(options);
      this.#assertOpen();
      if (this.#bypass?.(key) === true) {
        resolve(this.#announced(unlimitedDecision(this.limits, request.cost), key));
        return;
      }
      this.#acquireQueues.enqueue(key, request, resolve, reject);
    });
  }

  /** What {@link check} would decide now. It spends nothing, writes nothing and is not told to `onDecision`. */
  async peek(key: K, options?: CallOptions): Promise<Decision> {
    assertKey(key);
    const cost = parseCost(options);
    if (this.#bypass?.(key) === true) return unlimitedDecision(this.limits, 0);
    return this.#asked("peek", key, cost);
  }

  /**
   * Takes back what `decision` spent, exactly that and once, as if the call had not been made: a login that succeeded need
   * not count against the next attempts.
   *
   * @returns true when anything was taken back; false where nothing was spent (refused, shadowed or bypassed), or what was
   *   has expired, or was reset, evicted or refunded before. Also false, and the call stays counted, when more than 4,096 newer
   *   timestamps of the key would have to move.
   * @throws TypeError (as a rejection) for a copy of a decision, which does not remember what was spent.
   */
  async refund(decision: Decision): Promise<boolean> {
    return receiptOf(decision)?.refund() ?? false;
  }

  /** Forgets every key of this limiter, and of no other that shares its store. */
  reset(): Promise<void>;
  /**
   * Forgets one key: it stands as if it had never called.
   *
   * @throws TypeError (as a rejection) when the key is not a string: one that got lost is no wish to forget everybody.
   */
  reset(key: K): Promise<void>;
  async reset(...keys: [] | [key: K]): Promise<void> {
    if (keys.length > 0) assertKey(keys[0]);
    await this.#space.reset(keys[0]);
    this.#pace?.reset(keys[0]);
    this.#queues?.recheck(keys[0]);
  }

  /** What the log of `key` holds: its live calls in the longest window, and where that window begins on the store's clock. */
  async state(key: K): Promise<KeyState> {
    assertKey(key);
    return this.#space.state(key);
  }

  /**
   * Closes this limiter and releases its name, so that another limiter may have it on the same store, with other periods.
   *
   * Every later call rejects with a `LimiterClosedError`, bypassed ones too, and so does every call that waits in
   * {@link acquire}. A call that a remote store is deciding completes. In memory the log is gone, and a refund of an earlier
   * decision resolves false. In Redis the log stays for the other processes, expires by itself, and refunds go on. A store
   * that was handed over stays open for its other limiters. A second `close` does nothing.
   *
   * @throws StoreError when the clock of the store calls it.
   *
   * @example
   * process.once("SIGTERM", () => server.close(() => limiter.close()));
   */
  close(): void {
    if (this.#isClosed) return;
    this.#space.close();
    this.#isClosed = true;
    // In place of a check in every call: the hot path is the same as before.
    if (this.#sync === undefined) this.#async = closedSpace(this.name);
    else this.#sync = closedSpace(this.name);
    this.#bypass = undefined;
    this.#queues?.rejectAll(closedError(this.name));
    this.#queues = undefined;
    this.#pace = undefined;
  }

  #assertOpen(): void {
    if (this.#isClosed) throw closedError(this.name);
  }

  #allows(space: SyncNamespace, key: K, options: CallOptions | undefined): boolean {
    if (this.#onDecision !== undefined) return this.#decide(space, key, options).allowed;
    assertKey(key);
    const cost = options === undefined ? 1 : parseCost(options);
    if (this.#bypass?.(key) === true) return true;
    return space.admit(key, this.#inForce.limits, cost) || this.#isShadow;
  }

  async #allowsLater(key: K, options: CallOptions | undefined): Promise<boolean> {
    if (this.#onDecision !== undefined) return (await this.#decideLater(key, options)).allowed;
    assertKey(key);
    const cost = parseCost(options);
    if (this.#bypass?.(key) === true) return true;
    return (await (this.#async as AsyncNamespace).admit(key, this.#inForce.limits, cost)) || this.#isShadow;
  }

  /** The namespace of this limiter, whatever its store. */
  get #space(): Namespace {
    return this.#sync ?? (this.#async as AsyncNamespace);
  }

  /** Created at the first `acquire`. */
  get #acquireQueues(): AcquireQueues {
    if (this.#queues !== undefined) return this.#queues;
    const clock = (memberOf(this.#store, "clock") as Clock | undefined) ?? monotonicClock;
    const periodsMs = this.limits.map(({ periodMs }) => periodMs);
    let pace: Pace;
    if (this.#isShadow) pace = unpaced(this.#space);
    else if (this.#sync !== undefined) pace = paceInLog(this.#sync);
    else pace = paceInMemory(this.#async as AsyncNamespace, clock, periodsMs);
    this.#pace = pace;
    return (this.#queues = new AcquireQueues(clock, {
      check: (key, cost, pending) => {
        const now = this.#inForce;
        const paced = pace.check(key, now.limits, cost, pending);
        if (paced === undefined) return undefined;
        return andThen(paced, ({ verdict, confirm }) => ({
          decision: this.#decided(verdict, key, now, cost),
          confirm,
        }));
      },
      peek: (key, cost) => this.#asked("peek", key, cost),
      notify: (key, decision) => void this.#announced(decision, key as K),
    }));
  }

  /** Queries the namespace by the limits in force, and makes a decision of the result, now or later. */
  #asked(verb: "check" | "peek", key: string, cost: number): Decision | Promise<Decision> {
    const now = this.#inForce;
    return andThen(this.#space[verb](key, now.limits, cost), (verdict) => this.#decided(verdict, key, now, cost));
  }

  /** The decision that follows from the result of a store. Its refund wakes the waiters of the key. */
  #decided(verdict: StoreResult, key: string, now: LimitsInForce, cost: number): Decision {
    return toDecision(verdict, now, key, cost, this.#isShadow, this.#recheck);
  }

  #memberCall(key: K, cost: number): MemberCall {
    this.#assertOpen();
    const isBypassed = this.#bypass?.(key) === true;
    let read: LimitsInForce | undefined;
    const now = (): LimitsInForce => (read ??= this.#inForce);
    return {
      store: this.#store,
      order: this.#order,
      isBypassed,
      ask: () => {
        // The `bypass` of another member may have closed it.
        this.#assertOpen();
        return { namespace: this.#space, key, limits: now().limits, cost, mayRefuse: !this.#isShadow };
      },
      decide: (verdict) =>
        verdict === undefined ? unlimitedDecision(now().limits, cost) : this.#decided(verdict, key, now(), cost),
      announce: (decision) => void this.#announced(decision, key),
    };
  }

  #decide(space: SyncNamespace, key: K, options: CallOptions | undefined): Decision {
    assertKey(key);
    const cost = parseCost(options);
    if (this.#bypass?.(key) === true) return this.#announced(unlimitedDecision(this.limits, cost), key);
    const now = this.#inForce;
    return this.#announced(this.#decided(space.check(key, now.limits, cost), key, now, cost), key);
  }

  async #decideLater(key: K, options: CallOptions | undefined): Promise<Decision> {
    assertKey(key);
    const cost = parseCost(options);
    if (this.#bypass?.(key) === true) return this.#announced(unlimitedDecision(this.limits, cost), key);
    return this.#announced(await this.#asked("check", key, cost), key);
  }

  #announced(decision: Decision, key: K): Decision {
    if (this.#onDecision !== undefined) notify(this.#onDecision, decision, key);
    return decision;
  }
}

function closedError(name: string): LimiterClosedError {
  return new LimiterClosedError(`The limiter \`${name}\` is closed`);
}

/** The space of a closed limiter: every call throws. */
function closedSpace(name: string): SyncNamespace & AsyncNamespace {
  const refuse = (): never => {
    throw closedError(name);
  };
  return { admit: refuse, check: refuse, peek: refuse, reset: refuse, state: refuse, close: refuse };
}
