import { bypassFrom } from "../core/bypass.js";
import type { Clock } from "../core/clock.js";
import { monotonicClock } from "../core/clock.js";
import { nextInProcess, publish } from "../core/copies.js";
import type { Decision } from "../core/decision.js";
import type { Duration } from "../core/duration.js";
import { parseDuration } from "../core/duration.js";
import { receiptOf } from "../core/decision.js";
import { LimiterClosedError } from "../core/errors.js";
import { typeError, memberOf, ownCopy, parseOptions } from "../core/validate.js";
import type { Limit, MaxCalls } from "../core/limit.js";
import { limitsWith } from "../core/limit.js";
import { lockPolicyFrom } from "../core/locks.js";
import { andThen, isPromiseLike } from "../core/callbacks.js";
import type {
  AsyncNamespace,
  BatchItem,
  KeyState,
  Namespace,
  Store,
  SyncNamespace,
  StoreResult,
} from "../store/store.js";
import { assertNamespaceName } from "../store/store.js";
import type { AcquireOptions } from "./acquire-options.js";
import { parseAcquireOptions } from "./acquire-options.js";
import type { CheckedCall } from "./acquire-queue.js";
import { AcquireQueues } from "./acquire-queue.js";
import type { LimitsInForce } from "./decide.js";
import { LimiterReceipt, notify, bypassedDecision, toDecision } from "./decide.js";
import type { CallOptions, CallRequest, LimiterOptions, UnlockOptions } from "./options.js";
import { assertKey, parseCall, storeFrom } from "./options.js";
import { Release, ReleaseLog } from "./release-log.js";

/** What a copy of this package publishes for its limiters. */
export interface PublishedLimiter {
  /**
   * Whether an object was made by the constructor of a limiter of that copy. A proxy of a limiter, and an object that inherits
   * from one, have its properties, but none of its private fields.
   */
  isLimiter(value: object): boolean;
  /** The call of one member of an `allOf`. Calls the `bypass` of the limiter. */
  memberCall(limiter: unknown, key: never, call: CallRequest): MemberCall;
}

/** The call of one limiter, as a part of a call of `allOf`. */
export interface MemberCall {
  readonly store: Store;
  /** The creation order of the limiters of this process, whichever copy of this package created them. */
  readonly order: number;
  /** The `bypass` of the limiter returned true: the store is not queried. */
  readonly isBypassed: boolean;
  /** The call for the store. The first call of this method reads the limits in force. */
  item(): BatchItem;
  /** Makes the decision from the result of the store; without a result, the decision of a bypassed call. */
  decide(result: StoreResult | undefined): Decision;
  /** Calls `onDecision`. */
  notify(decision: Decision): void;
}

/** For how many numbers a limiter keeps the limits: more than a service has plans. */
const MOST_OWN = 100;

/** What `isAllowed` returns in memory: no call needs a promise of its own. */
const ALLOWED = Promise.resolve(true);
const REFUSED = Promise.resolve(false);

/**
 * The base class of all limiters: it checks each call against its limits, in one namespace of a store. A subclass decides in
 * its constructor what the limits are, and overrides no method that decides. A limiter of narrower keys is not assignable to
 * one of wider keys (`in K`).
 *
 * All methods but `checkSync`, `setMaxCalls` and `close` are asynchronous. They reject, and never throw: with a `TypeError` or `RangeError`
 * for an invalid key or option, with a `StoreError` if the store cannot decide, and with a `LimiterClosedError` after
 * {@link close}. A refusal is a value and not an exception.
 *
 * @typeParam K - the keys.
 * @typeParam M - the `maxCalls` of a call: a number, or an object by the names of several limits.
 */
export class RateLimiter<in K extends string = string, M extends MaxCalls = MaxCalls> {
  static {
    const functions: PublishedLimiter = {
      isLimiter: (value) => #order in value,
      memberCall: (limiter, key, call) => (limiter as RateLimiter<never>).#memberCall(key, call),
    };
    publish(this.prototype, "limiter", functions);
  }

  readonly #order = nextInProcess();
  readonly #store: Store;
  readonly #isShadow: boolean;
  #namespace: Namespace;
  #bypass: ((key: K) => boolean) | undefined;
  readonly #onDecision: ((decision: Decision, key: K) => unknown) | undefined;

  /** The limits without load. */
  #full: readonly Limit[];
  #inForce: LimitsInForce;
  /** The limits of calls with their own `maxCalls`, by that number: a store can compare arrays instead of their elements. */
  readonly #own = new Map<unknown, readonly Limit[]>();
  #releases: ReleaseLog | undefined;
  readonly #recheck = (key: string): void => this.#queues?.recheck(key);
  #queues: AcquireQueues | undefined;
  #isClosed = false;
  /** The name of this limiter, and of its namespace in the store. */
  readonly name: string;
  /** Whether the store is synchronous, as those in memory are: then {@link checkSync} can be called. */
  readonly synchronous: boolean;
  /** Whether process warnings about misuse of this limiter are issued. */
  readonly warnings: boolean;

  /** @param options - checked by the constructor of the subclass. */
  protected constructor(limits: readonly Limit[], options: LimiterOptions<K>) {
    const own = ownCopy(options);
    const { name = "default" } = own;
    this.name = assertNamespaceName(name);
    this.#full = Object.freeze([...limits]);
    this.#inForce = { limits: this.#full, whenReduced: undefined };
    this.#isShadow = own.mode === "shadow";
    this.#bypass = bypassFrom(own.bypass);
    this.#onDecision = own.onDecision;
    this.#store = storeFrom(own);
    this.warnings = own.warnings ?? true;
    this.synchronous = this.#store.synchronous;
    const locks = lockPolicyFrom(own);
    const periodsMs = limits.map(({ periodMs }) => periodMs);
    // Last, because an open namespace stays open: a constructor that throws above must not occupy the name.
    this.#namespace = this.#store.open(this.name, periodsMs, locks);
    if (locks === undefined || hasLocks(this.#namespace)) return;
    this.#namespace.close();
    throw withoutLocks(this.#store);
  }

  /** The limits enforced now, in order, for calls without their own `maxCalls`. */
  get limits(): readonly Limit[] {
    return this.#inForce.limits;
  }

  /**
   * Changes the limits of all later calls of this limiter object, and wakes its waiters. The logs stay as they are: with 5 calls
   * in the window, a limit that is raised from 5 to 6 leaves 1, and one that is lowered to 3 leaves nothing until 3 of them have
   * expired.
   *
   * The limiters of other processes keep their limits. A call with its own `maxCalls` has that one.
   *
   * @throws TypeError for a wrong type or the name of no limit, RangeError for a number out of range. No limit is changed then.
   *
   * @example
   * limiter.setMaxCalls(200);
   * layered.setMaxCalls({ Burst: 20 }); // the other limits stay
   */
  setMaxCalls(maxCalls: M): void {
    this.replaceLimits(limitsWith(this.#full, maxCalls));
  }

  /**
   * Replaces the limits from the next call on; the logs stay as they are. Precondition: as many limits as before, of the same
   * periods, which are fixed when the namespace is opened.
   *
   * @param full - the limits without load. Without it they stay, and {@link enforced} reduces them again.
   */
  protected replaceLimits(full: readonly Limit[] = this.#full): void {
    this.#full = Object.freeze([...full]);
    this.#inForce = this.enforced(this.#full);
    this.#queues?.recheck();
  }

  /** What is enforced of some limits, those of all calls or of one call. A limiter that reduces limits overrides it. */
  protected enforced(full: readonly Limit[]): LimitsInForce {
    return { limits: full, whenReduced: undefined };
  }

  /**
   * Checks whether a call of `key` is allowed, and records it if it is. The short form of {@link check}, and the fastest method.
   *
   * @example
   * if (!(await limiter.isAllowed(email))) return reply.status(429).send();
   */
  isAllowed(key: K, options?: CallOptions<M>): Promise<boolean> {
    try {
      const isAllowed = this.#allows(key, options);
      return isAllowed === true ? ALLOWED : isAllowed === false ? REFUSED : isAllowed;
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /**
   * Decides a call of `key`, records it if every limit allows it, and returns the status of each limit. A refused call is not
   * recorded and extends no wait.
   *
   * @example
   * const { allowed, retryAfterMs } = await limiter.check(email, { cost: 2 });
   *
   * @example
   * const { allowed, limit } = await limiter.check(tenant.id, { maxCalls: tenant.callsPerMinute });
   */
  async check(key: K, options?: CallOptions<M>): Promise<Decision> {
    return this.#decide(key, options);
  }

  /**
   * {@link check} without a promise, for stores in memory.
   *
   * @throws TypeError if the store is not synchronous; TypeError or RangeError for an invalid key or option; LimiterClosedError
   *   after {@link close}.
   */
  checkSync(key: K, options?: CallOptions<M>): Decision {
    if (!this.synchronous) throw typeError("store", "synchronous: use `check` here", "asynchronous");
    return this.#decide(key, options) as Decision;
  }

  /**
   * Waits until a call of `key` is admitted, and resolves with the decision.
   *
   * The waiters of one key at this limiter object are first in, first out. `check` and `isAllowed` do not queue, so their
   * calls may be admitted before the first waiter. A refund, a reset, an `unlock` and a changed limit of this limiter wake the
   * first waiter. One in another process does not, and the waiter sleeps until the lock or the limit would have ended. A waiter keeps
   * the process alive. A call with its own `maxCalls` waits for that limit, behind the waiters before it.
   *
   * The call is recorded just before its caller is released, and never while synchronous code runs. No more callers continue in
   * any window of real time than the limits allow, however busy the process is and whatever the delay of the store. With more
   * than 10,000 keys in a window, that holds for the timestamps in the store only. An asynchronous store checks one call of a
   * key, and then as many at once as that decision says remain, up to 100.
   *
   * @throws RateLimitExceededError (as a rejection) when the wait fails; its `waitFailedBy` says why. It comes at once
   *   when `maxQueue` calls wait already, when the cost exceeds a limit, or when the first instant that the log allows is
   *   after the end of `timeout`; else when the timeout ends. Rejects with the reason of `signal` when that is aborted.
   *
   * @example
   * await limiter.acquire("api.example.org", { timeout: "10s", signal });
   */
  acquire(key: K, options?: AcquireOptions<M>): Promise<Decision> {
    // Not `async`: its promise would settle some microtasks after the call is recorded. What throws here rejects as well.
    return new Promise((resolve, reject) => {
      assertKey(key);
      const request = parseAcquireOptions(options);
      const { limits } = this.#limitsOf(request);
      this.#assertOpen();
      if (this.#bypass?.(key) === true) {
        resolve(this.#notified(bypassedDecision(limits, request.cost), key));
        return;
      }
      this.#acquireQueues.enqueue(key, request, resolve, reject);
    });
  }

  /** Returns what {@link check} would decide now. It records nothing and does not call `onDecision`. */
  async peek(key: K, options?: CallOptions<M>): Promise<Decision> {
    assertKey(key);
    const call = parseCall(options);
    const { limits } = this.#limitsOf(call);
    if (this.#bypass?.(key) === true) return bypassedDecision(limits, 0);
    return this.#peek(key, call);
  }

  /**
   * Removes from the log what `decision` recorded, exactly that and once, so that a successful login, for one, does not count
   * against the next attempts.
   *
   * @returns true if anything was removed; false if nothing was recorded (the call was refused, shadowed or bypassed), or if the
   *   record has expired, or was reset, evicted or refunded before. Also false, and the call stays counted, if more than 4,096
   *   newer timestamps of the key would have to move.
   * @throws TypeError (as a rejection) for a copy of a decision: a copy has no receipt.
   */
  async refund(decision: Decision): Promise<boolean> {
    return receiptOf(decision)?.refund() ?? false;
  }

  /** Forgets every key of this limiter, and of no other that shares its store. */
  reset(): Promise<void>;
  /**
   * Forgets one key, as if it had never called: its calls, its lock and its strikes.
   *
   * @throws TypeError (as a rejection) if the key is not a string: a missing key must not reset all keys.
   */
  reset(key: K, options?: UnlockOptions): Promise<void>;
  async reset(...target: [] | [key: K, options?: UnlockOptions | undefined]): Promise<void> {
    const [key, options] = target;
    if (target.length > 0) assertKey(key);
    // A store that was written before there were locks returns nothing.
    const isReset = (await this.#namespace.reset(key, lockedUntilFrom(options))) as boolean | undefined;
    if (isReset === false) return;
    this.#releases?.reset(key);
    this.#queues?.recheck(key);
  }

  /**
   * Locks `key` from now on for a duration: every call is refused, with `refusedBy: "lock"`. The lock replaces an earlier one,
   * which may have ended later. It is no strike, and needs no `lockFor`.
   *
   * @throws TypeError or RangeError (as a rejection) for an invalid duration, TypeError if the store has no locks, StoreError if
   *   there is no room for the key.
   *
   * @example
   * await limiter.lock(ip, "1h");
   */
  async lock(key: K, duration: Duration): Promise<void> {
    assertKey(key);
    await this.#lockable().lock(key, parseDuration("duration", duration));
    // It may end earlier than the one before.
    this.#queues?.recheck(key);
  }

  /**
   * Removes the lock and the strikes of `key`. Its calls still count: see {@link reset}.
   *
   * @returns whether the key was locked or had strikes.
   * @throws TypeError (as a rejection) for an invalid option, or if the store has no locks.
   *
   * @example
   * const { lockedUntil } = await limiter.state(email);
   * // … after the decision of an administrator:
   * await limiter.unlock(email, { lockedUntil });
   */
  async unlock(key: K, options?: UnlockOptions): Promise<boolean> {
    assertKey(key);
    const isUnlocked = await this.#lockable().unlock(key, lockedUntilFrom(options));
    if (isUnlocked) this.#queues?.recheck(key);
    return isUnlocked;
  }

  /**
   * Returns the unexpired calls of `key` in the longest window and the start of that window on the store's clock, its lock and its
   * strikes.
   */
  async state(key: K): Promise<KeyState> {
    assertKey(key);
    return this.#namespace.state(key);
  }

  /**
   * Closes this limiter and releases its name, so that another limiter may have it on the same store, with other periods.
   *
   * Every later call rejects with a `LimiterClosedError`, bypassed ones too, and so does every call that waits in
   * {@link acquire}. A call that a remote store is deciding completes. In memory the log is deleted, and a refund of an earlier
   * decision resolves false. In Redis the log stays for the other processes, expires by itself, and refunds still work. A
   * store that was passed as an option stays open for its other limiters. A second `close` does nothing.
   *
   * @throws StoreError when the clock of the store calls it.
   *
   * @example
   * process.once("SIGTERM", () => server.close(() => limiter.close()));
   */
  close(): void {
    if (this.#isClosed) return;
    this.#namespace.close();
    this.#isClosed = true;
    // Instead of a check in every call, which the hot path would pay for.
    this.#namespace = closedNamespace(this.name);
    this.#bypass = undefined;
    this.#queues?.rejectAll(closedError(this.name));
    this.#queues = undefined;
    this.#releases = undefined;
  }

  #lockable(): Required<Namespace> {
    this.#assertOpen();
    if (hasLocks(this.#namespace)) return this.#namespace;
    throw withoutLocks(this.#store);
  }

  #assertOpen(): void {
    if (this.#isClosed) throw closedError(this.name);
  }

  /** The limits of a call. @throws TypeError or RangeError for an invalid `maxCalls`. */
  #limitsOf({ maxCalls }: CallRequest): LimitsInForce {
    // Apart from the rest, which V8 would not inline: most calls have no `maxCalls`.
    return maxCalls === undefined ? this.#inForce : this.#ownLimits(maxCalls);
  }

  #ownLimits(maxCalls: unknown): LimitsInForce {
    let full = this.#own.get(maxCalls);
    if (full === undefined) {
      full = Object.freeze(limitsWith(this.#full, maxCalls, true));
      if (this.#own.size >= MOST_OWN) this.#own.clear();
      // A number replaces every `maxCalls`, so it stays valid. An object leaves some, and its owner can change it.
      if (typeof maxCalls === "number") this.#own.set(maxCalls, full);
    }
    return this.enforced(full);
  }

  #allows(key: K, options: CallOptions<M> | undefined): boolean | Promise<boolean> {
    if (this.#onDecision !== undefined) return andThen(this.#decide(key, options), ({ allowed }) => allowed);
    assertKey(key);
    const call = parseCall(options);
    const { limits } = this.#limitsOf(call);
    if (this.#bypass?.(key) === true) return true;
    const isAdmitted = this.#namespace.admit(key, limits, call.cost);
    if (typeof isAdmitted === "boolean") return isAdmitted || this.#isShadow;
    return andThen(isAdmitted, (admitted) => admitted || this.#isShadow);
  }

  /** Created at the first `acquire`. */
  get #acquireQueues(): AcquireQueues {
    if (this.#queues !== undefined) return this.#queues;
    const clock = (memberOf(this.#store, "clock") as Clock | undefined) ?? monotonicClock;
    const periodsMs = this.limits.map(({ periodMs }) => periodMs);
    this.#queues = new AcquireQueues(clock, {
      synchronous: this.synchronous,
      check: (key, call) => this.#checkWaiter(key, call),
      peek: (key, call) => this.#peek(key, call),
      notify: (key, decision) => void this.#notified(decision, key as K),
    });
    // In shadow mode no caller waits.
    if (!this.#isShadow) this.#releases = new ReleaseLog(clock, periodsMs);
    return this.#queues;
  }

  #checkWaiter(key: string, call: CallRequest): CheckedCall | Promise<CheckedCall> {
    const { cost } = call;
    const inForce = this.#limitsOf(call);
    const { limits } = inForce;
    const namespace = this.#namespace;
    const releases = this.#releases;
    const result = releases?.check(namespace, key, limits, cost) ?? namespace.check(key, limits, cost, false);
    return andThen(result, (checked): CheckedCall => {
      const release = checked.receipt && releases && new Release(releases, key, limits, cost);
      const onRefunded = (): void => {
        release?.refund();
        this.#recheck(key);
      };
      return { decision: this.#toDecision(checked, key, inForce, cost, onRefunded), release };
    });
  }

  /** What the store would decide now. */
  #peek(key: string, call: CallRequest): Decision | Promise<Decision> {
    const { cost } = call;
    const inForce = this.#limitsOf(call);
    return andThen(this.#namespace.peek(key, inForce.limits, cost), (result) =>
      this.#toDecision(result, key, inForce, cost),
    );
  }

  /** The decision that follows from the result of a store. Its refund wakes the waiters of the key. */
  #toDecision(
    result: StoreResult,
    key: string,
    inForce: LimitsInForce,
    cost: number,
    onRefunded = this.#recheck,
  ): Decision {
    const receipt = result.receipt && new LimiterReceipt(result.receipt, key, onRefunded);
    return toDecision(result, inForce, cost, this.#isShadow, receipt);
  }

  #memberCall(key: K, call: CallRequest): MemberCall {
    this.#assertOpen();
    const { cost, maxCalls } = call;
    let read = maxCalls === undefined ? undefined : this.#limitsOf(call);
    const isBypassed = this.#bypass?.(key) === true;
    const inForce = (): LimitsInForce => (read ??= this.#inForce);
    return {
      store: this.#store,
      order: this.#order,
      isBypassed,
      item: () => {
        // The `bypass` of another member may have closed this limiter.
        this.#assertOpen();
        return { namespace: this.#namespace, key, limits: inForce().limits, cost, mayRefuse: !this.#isShadow };
      },
      decide: (result) =>
        result === undefined
          ? bypassedDecision(inForce().limits, cost)
          : this.#toDecision(result, key, inForce(), cost),
      notify: (decision) => void this.#notified(decision, key),
    };
  }

  #decide(key: K, options: CallOptions<M> | undefined): Decision | Promise<Decision> {
    assertKey(key);
    const call = parseCall(options);
    const { cost } = call;
    const inForce = this.#limitsOf(call);
    if (this.#bypass?.(key) === true) return this.#notified(bypassedDecision(inForce.limits, cost), key);
    const result = this.#namespace.check(key, inForce.limits, cost);
    // Not by `andThen`, because that would allocate a function for every call in memory.
    if (isPromiseLike(result)) {
      return Promise.resolve(result).then((later) => this.#notified(this.#toDecision(later, key, inForce, cost), key));
    }
    return this.#notified(this.#toDecision(result, key, inForce, cost), key);
  }

  #notified(decision: Decision, key: K): Decision {
    if (this.#onDecision !== undefined) notify(this.#onDecision, decision, key);
    return decision;
  }
}

/** By structure: a store of another package may have no locks. */
function hasLocks(namespace: Namespace): namespace is Required<Namespace> {
  return typeof memberOf(namespace, "lock") === "function";
}

function withoutLocks(store: Store): TypeError {
  return typeError("store", "a store that can lock keys, with the methods `lock` and `unlock` of a namespace", store);
}

/** @throws TypeError for an unknown option, or one that is neither a number nor null. */
function lockedUntilFrom(options: UnlockOptions | undefined): number | null | undefined {
  if (options === undefined) return undefined;
  const { lockedUntil } = parseOptions("options", options, ["lockedUntil"]);
  if (lockedUntil === undefined || lockedUntil === null || typeof lockedUntil === "number") return lockedUntil;
  throw typeError("lockedUntil", "the `lockedUntil` of a `state`: a number or null", lockedUntil);
}

function closedError(name: string): LimiterClosedError {
  return new LimiterClosedError(`The limiter \`${name}\` is closed`);
}

/** The namespace of a closed limiter: every call throws. */
function closedNamespace(name: string): SyncNamespace & AsyncNamespace {
  const refuse = (): never => {
    throw closedError(name);
  };
  return { admit: refuse, check: refuse, peek: refuse, reset: refuse, state: refuse, close: refuse };
}
