import { isPromiseLike, warn } from "../core/callbacks.js";
import type { Clock } from "../core/clock.js";
import { monotonicClock, nextTurn } from "../core/clock.js";
import type { Decision } from "../core/decision.js";
import { makeDecision, receiptOf } from "../core/decision.js";
import type { WaitFailure } from "../core/errors.js";
import { RateLimitExceededError, StoreError } from "../core/errors.js";
import { typeError } from "../core/validate.js";
import { StoreTime } from "../store/store-time.js";
import { onAbort } from "./abort.js";
import type { AcquireRequest } from "./acquire-options.js";
import { DEFAULT_MAX_QUEUE } from "./acquire-options.js";
import type { CallRequest } from "./options.js";
import type { Release } from "./release-log.js";

/**
 * How many microtasks a released caller gets before the next call is checked. The first continues the code that awaits
 * `acquire`; the others continue code behind async functions that wrap it, such as `rateLimited`.
 */
const CALLER_MICROTASKS = 4;

/** Awaiting it takes one microtask. */
const MICROTASK = Promise.resolve();

/** How long a queue may work, in milliseconds, before timers and I/O get a turn of the event loop. */
const SLICE_MS = 5;

/** The least steps of a slice, so that a busy process does not cost each waiter a turn. */
const SLICE_STEPS = 32;

/** The longest sleep after a refusal by a fallback, in milliseconds: the store itself may decide again by then. */
const FALLBACK_SLEEP_MS = 1000;

/** The most calls of a key that an asynchronous store checks at once. */
const MAX_BATCH = 100;

/** The decision on a call that a queue has checked. */
export interface CheckedCall {
  readonly decision: Decision;
  /** The logged release of the caller; undefined where none is logged: in shadow mode, and for a call that was not recorded. */
  readonly release: Release | undefined;
}

/** The methods of a limiter that its queues use. `check` and `peek` do not notify `onDecision`. */
export interface QueuedLimiter {
  /** Whether the store is synchronous. Then one call is checked at a time, after the previous caller has continued. */
  readonly synchronous: boolean;
  /** Decides a call, and records it if it is admitted. */
  readonly check: (key: string, call: CallRequest) => CheckedCall | Promise<CheckedCall>;
  /** What `check` would decide. */
  readonly peek: (key: string, call: CallRequest) => Decision | Promise<Decision>;
  /** Notifies `onDecision` of the decision that ends a wait. It never throws. */
  readonly notify: (key: string, decision: Decision) => void;
}

/** A call that waits. */
interface Waiter extends Omit<AcquireRequest, "timeoutMs"> {
  /** Its place in the queue: waiters are numbered as they join. */
  readonly ticket: number;
  readonly joinedAt: number;
  /** The instant after which it does not wait, in store time; `Infinity` without a timeout. */
  readonly deadline: number;
  readonly resolve: (decision: Decision) => void;
  readonly reject: (error: unknown) => void;
  stopListening: (() => void) | undefined;
}

/** A refusal of a call, at an instant of store time. */
interface Refusal {
  readonly decision: Decision;
  readonly call: CallRequest;
  readonly at: number;
}

/** The waiters of one key, first in, first out. */
class Queue {
  readonly key: string;
  readonly waiters = new Map<number, Waiter>();
  /** A lower bound of all deadlines. */
  nextDeadline = Infinity;

  /** The latest refusal of a first waiter that could be admitted later. */
  refusal: Refusal | undefined;
  /** When the first waiter may be checked, in store time. */
  readyAt = -Infinity;
  /** 1 while an asynchronous store decides: it may admit a call at the very instant of its deadline, and reply later. Else 0. */
  graceMs = 0;
  /** The cost that an asynchronous store may check at once. */
  budget = 0;

  #nextTicket = 0;
  /** The ticket of the first waiter; of the next one to join if there is none. */
  #head = 0;
  /** Waiters from this ticket on are new: they wait only if they are not admitted at once, and the queue has room. */
  #firstNew = 0;
  #acceptedCount = 0;
  #hasChanged = false;
  #wake: (() => void) | undefined;
  #sliceStart = 0;
  #steps = 0;

  constructor(key: string) {
    this.key = key;
  }

  /** The ticket of the next waiter to join. */
  get nextTicket(): number {
    return this.#nextTicket;
  }

  /** The first waiter. */
  get first(): Waiter | undefined {
    return this.waiters.get(this.#head);
  }

  /** Whether a refund, a reset or another limit has come since the check under way was sent. */
  get hasChanged(): boolean {
    return this.#hasChanged;
  }

  add(waiter: Waiter): void {
    this.waiters.set(waiter.ticket, waiter);
    this.#nextTicket += 1;
    this.nextDeadline = Math.min(this.nextDeadline, waiter.deadline);
  }

  isNew({ ticket }: Waiter): boolean {
    return ticket >= this.#firstNew;
  }

  /** The first new waiter; undefined if there is none, or if the slice is over. */
  nextNew(): Waiter | undefined {
    for (; this.#firstNew < this.#nextTicket && !this.isSliceOver(); this.#firstNew += 1) {
      const waiter = this.waiters.get(this.#firstNew);
      if (waiter !== undefined) return waiter;
    }
    return undefined;
  }

  /** Counts a new waiter as one that waits. False if too many wait in front of it. */
  accept({ ticket, maxQueue }: Waiter): boolean {
    this.#firstNew = ticket + 1;
    this.#acceptedCount += 1;
    return this.#acceptedCount <= maxQueue;
  }

  remove(waiter: Waiter): void {
    const { ticket, stopListening } = waiter;
    if (!this.waiters.delete(ticket)) return;
    stopListening?.();
    if (!this.isNew(waiter)) this.#acceptedCount -= 1;
    if (this.waiters.size === 0) this.nextDeadline = Infinity;
    if (ticket !== this.#head) return;
    while (this.#head < this.#nextTicket && !this.waiters.has(this.#head)) this.#head += 1;
    // The next waiter may cost less, or have a higher limit, than the one that was refused.
    this.#recheck();
  }

  /** Notes a refund, a reset or another limit: the first waiter may be checked at once, and no earlier decision need hold. */
  noteChange(): void {
    this.#hasChanged = true;
    this.budget = 0;
    this.#recheck();
  }

  #recheck(): void {
    this.readyAt = -Infinity;
    this.wake();
  }

  /** Ends the sleep of the drain. */
  wake(): void {
    this.#wake?.();
  }

  /** Sleeps until {@link wake}, or for `ms` milliseconds of a clock. Returns whether the timer has ended the sleep. */
  sleep(clock: Clock, ms: number): Promise<boolean> {
    return new Promise((resolve) => {
      let cancel: (() => void) | undefined;
      this.#wake = () => {
        cancel?.();
        this.#wake = undefined;
        resolve(false);
      };
      if (ms === Infinity) return;
      cancel = clock.wake?.(Math.max(0, ms), () => {
        cancel = undefined;
        resolve(true);
        this.wake();
      });
    });
  }

  reject(waiter: Waiter, error: unknown): void {
    this.remove(waiter);
    waiter.reject(error);
  }

  rejectAll(error: unknown): void {
    for (const waiter of this.waiters.values()) this.reject(waiter, error);
  }

  /** The first waiter, and the next ones as long as the costs of all fit in the budget. */
  nextBatch(): Waiter[] {
    const batch: Waiter[] = [];
    let cost = 0;
    for (const waiter of this.budget > 0 ? this.waiters.values() : [this.first as Waiter]) {
      cost += waiter.cost;
      if (batch.length === MAX_BATCH || (batch.length > 0 && cost > this.budget)) break;
      // Some runtimes run microtasks between two listeners of a signal, so the listener of this waiter may not have run yet.
      if (waiter.signal?.aborted === true) this.reject(waiter, waiter.signal.reason);
      else batch.push(waiter);
    }
    this.budget = 0;
    this.#hasChanged = false;
    return batch;
  }

  startSlice(): void {
    this.#steps = 0;
    this.#sliceStart = monotonicClock.now();
  }

  isSliceOver(): boolean {
    this.#steps += 1;
    return this.#steps > SLICE_STEPS && monotonicClock.now() - this.#sliceStart > SLICE_MS;
  }
}

/**
 * The queues of one limiter, one for each key that has waiters.
 *
 * Each queue has one loop, its drain. It checks the first waiter. If that is refused, the drain sleeps until the instant that
 * the refusal names, and checks again, because a timer may fire early and another call may have taken the place. If it is
 * admitted, its caller is released, and the next waiter is checked when that caller has continued. An asynchronous store
 * checks as many of the next waiters at once as its last decision says that remain.
 */
export class AcquireQueues {
  readonly #clock: Clock;
  /** Store time never runs backwards, so a clock that steps back freezes no waiter. */
  readonly #time: StoreTime;
  readonly #limiter: QueuedLimiter;
  readonly #queues = new Map<string, Queue>();

  /** @throws TypeError when the clock cannot wake. */
  constructor(clock: Clock, limiter: QueuedLimiter) {
    if (clock.wake === undefined) {
      throw typeError("clock", "a clock with a `wake` function, for acquire", clock);
    }
    this.#clock = clock;
    this.#time = new StoreTime(clock);
    this.#limiter = limiter;
  }

  /**
   * Adds a call to the queue of its key.
   *
   * @param resolve - called with the decision that admits the call, right after the call is recorded.
   * @param reject - called with the reason of the signal, a `RateLimitExceededError`, or what the store failed with.
   */
  enqueue(
    key: string,
    { cost, maxCalls, signal, timeoutMs, maxQueue }: AcquireRequest,
    resolve: (decision: Decision) => void,
    reject: (error: unknown) => void,
  ): void {
    if (signal?.aborted === true) {
      reject(signal.reason);
      return;
    }
    const joinedAt = this.#now();
    let queue = this.#queues.get(key);
    if (queue === undefined) {
      queue = new Queue(key);
      this.#queues.set(key, queue);
      void this.#drain(queue);
    }
    if (queue.graceMs > 0 && queue.waiters.size >= Math.max(maxQueue, DEFAULT_MAX_QUEUE)) {
      // Without this bound, calls would pile up where the store decides more slowly than they arrive, and refuses none.
      reject(new StoreError(`The store decides too slowly: ${queue.waiters.size} calls of one key wait for it`));
      return;
    }
    const waiter: Waiter = {
      ticket: queue.nextTicket,
      cost,
      maxCalls,
      signal,
      maxQueue,
      joinedAt,
      deadline: joinedAt + timeoutMs,
      resolve,
      reject,
      stopListening: undefined,
    };
    if (signal !== undefined) waiter.stopListening = onAbort(signal, () => queue.reject(waiter, signal.reason));
    queue.add(waiter);
    // Its deadline may need an earlier timer; and a timer that was lost when fake timers were removed is set again.
    queue.wake();
  }

  /** Checks the first waiter of a key again, or of every key: a refund, a reset or another limit may admit it. */
  recheck(key?: string): void {
    for (const queue of key === undefined ? this.#queues.values() : [this.#queues.get(key)]) {
      queue?.noteChange();
    }
  }

  /** Rejects every waiter with `error`. A call that the store is deciding at this moment is refunded if it is admitted. */
  rejectAll(error: unknown): void {
    for (const queue of this.#queues.values()) queue.rejectAll(error);
  }

  #now(): number {
    this.#time.read();
    return this.#time.now;
  }

  async #drain(queue: Queue): Promise<void> {
    // The synchronous code that is running comes first: no caller can continue before it ends.
    await MICROTASK;
    queue.startSlice();
    try {
      while (queue.waiters.size > 0) {
        if (queue.isSliceOver()) await this.#rest(queue, 0);
        else if (this.#now() >= queue.readyAt) await this.#checkFirst(queue);
        else {
          this.#acceptNew(queue);
          this.#expire(queue);
          await this.#rest(queue, queue.readyAt);
        }
      }
    } catch (error) {
      // The clock failed, so nothing could wake the waiters.
      queue.rejectAll(error);
    }
    this.#queues.delete(queue.key);
  }

  /** If the slice is over, waits for a turn of the event loop. Else sleeps until `until`, the next deadline, or `wake`. */
  async #rest(queue: Queue, until: number): Promise<void> {
    const now = this.#now();
    if (queue.isSliceOver()) await nextTurn();
    else if (until > now) {
      const leftMs = Math.min(until, queue.nextDeadline + queue.graceMs) - now;
      const hasFired = await queue.sleep(this.#clock, leftMs);
      // A timer that fires too early, as a mock may do at once, has perhaps given no turn to others.
      if (hasFired && this.#now() < now + leftMs) return;
    }
    queue.startSlice();
  }

  /** Checks the first waiter, or several, and applies the decisions in order. */
  async #checkFirst(queue: Queue): Promise<void> {
    const batch = queue.nextBatch();
    const settled = Promise.allSettled(batch.map(async (waiter) => this.#limiter.check(queue.key, waiter)));
    if (!this.#limiter.synchronous) {
      // A clock that fails here must not lose the decisions that are on their way.
      await this.#expireUntil(queue, settled).catch((error: unknown) => queue.rejectAll(error));
    }
    let isBlocked = false;
    for (const [at, result] of (await settled).entries()) {
      const waiter = batch[at] as Waiter;
      if (result.status === "rejected") {
        queue.reject(waiter, result.reason);
        continue;
      }
      const { decision } = result.value;
      const isWaiting = queue.waiters.has(waiter.ticket) && waiter.signal?.aborted !== true;
      if (!decision.allowed) {
        if (isWaiting && !isBlocked && !queue.hasChanged) this.#refuse(queue, waiter, decision);
        isBlocked ||= queue.waiters.has(waiter.ticket);
      } else if (isWaiting && !isBlocked) await this.#release(queue, waiter, result.value);
      else void refundUnclaimed(result.value);
    }
  }

  /** Rejects waiters at their deadlines while an asynchronous store decides. */
  async #expireUntil(queue: Queue, decided: Promise<unknown>): Promise<void> {
    queue.graceMs = 1;
    const finished = decided.then(() => {
      queue.graceMs = 0;
      queue.wake();
    });
    while (queue.graceMs > 0) {
      this.#expire(queue);
      await this.#rest(queue, Infinity);
    }
    await finished;
  }

  async #release(queue: Queue, waiter: Waiter, { decision, release }: CheckedCall): Promise<void> {
    queue.remove(waiter);
    this.#limiter.notify(queue.key, decision);
    waiter.resolve(decision);
    for (let left = CALLER_MICROTASKS; left > 0; left -= 1) await MICROTASK;
    const remaining = release === undefined ? Infinity : Math.min(decision.remaining, release.moveToNow());
    if (!this.#limiter.synchronous) queue.budget = remaining;
  }

  /** Applies a refusal to the first waiter and, if that cannot wait, to the next ones with an equal call, until one can. */
  #refuse(queue: Queue, call: CallRequest, decision: Decision): void {
    const at = this.#now();
    // A call that exceeds a limit by its cost is never admitted. That says nothing of the calls behind it.
    if (decision.retryAfterMs < Infinity) queue.refusal = { decision, call, at };
    while (!queue.isSliceOver()) {
      const { first } = queue;
      if (first === undefined || !isEqualCall(first, call)) return;
      if (queue.isNew(first) && !queue.accept(first)) this.#fail(queue, first, decision, "queue-full");
      else if (missesDeadline(decision, first, at)) this.#fail(queue, first, decision, "timeout");
      else {
        queue.readyAt = at + sleepMs(decision);
        return;
      }
    }
  }

  /** Accepts or rejects the new waiters while the first waiter sleeps: for a full queue, or a deadline that comes too early. */
  #acceptNew(queue: Queue): void {
    const { cost = 0, maxCalls } = queue.refusal?.call ?? {};
    for (let waiter = queue.nextNew(); waiter !== undefined; waiter = queue.nextNew()) {
      if (!queue.accept(waiter)) this.#rejectWithDecision(queue, waiter, "queue-full");
      // Any other waiter has no timeout, the limits of the first one, whose call can be admitted, and no higher cost.
      else if (waiter.deadline < Infinity || waiter.cost > cost || waiter.maxCalls !== maxCalls)
        this.#rejectIfLate(queue, waiter);
    }
  }

  /** Rejects the waiters whose deadlines have come, or as many as the slice allows. */
  #expire(queue: Queue): void {
    const now = this.#now() - queue.graceMs;
    if (now < queue.nextDeadline) return;
    let nextDeadline = Infinity;
    for (const waiter of queue.waiters.values()) {
      if (waiter.deadline > now) nextDeadline = Math.min(nextDeadline, waiter.deadline);
      else if (queue.isSliceOver()) return;
      else if (queue.graceMs > 0 && (queue.refusal?.at ?? -Infinity) < waiter.joinedAt) {
        queue.reject(waiter, new StoreError("The store did not decide before the timeout of a call that waits for it"));
      } else this.#rejectWithDecision(queue, waiter, "timeout");
    }
    queue.nextDeadline = nextDeadline;
  }

  /** Rejects a waiter with the current decision on its call or, if that would admit it, with the refusal of the first waiter. */
  #rejectWithDecision(queue: Queue, waiter: Waiter, failedBy: WaitFailure): void {
    const refusal = this.#currentRefusal(queue);
    // Not before: if the clock fails, only waiters of the queue are rejected.
    queue.remove(waiter);
    this.#decide(queue, waiter, refusal, (decision) => {
      this.#fail(queue, waiter, decision.allowed ? refusal : decision, failedBy);
    });
  }

  /** Rejects a waiter whose call cannot be admitted before its deadline. */
  #rejectIfLate(queue: Queue, waiter: Waiter): void {
    this.#decide(queue, waiter, this.#currentRefusal(queue), (decision) => {
      if (!queue.waiters.has(waiter.ticket) || !missesDeadline(decision, waiter, this.#now())) return;
      this.#fail(queue, waiter, decision, "timeout");
    });
  }

  /** The latest refusal of a first waiter, with the times of the present. */
  #currentRefusal(queue: Queue): Decision {
    const { decision, at } = queue.refusal as Refusal;
    return aged(decision, this.#now() - at);
  }

  /**
   * Calls `then` with the current decision on the call of a waiter.
   *
   * @param refusal - the refusal of the first waiter. An asynchronous store, where a peek is a command, is not queried for an
   *   equal call.
   */
  #decide(queue: Queue, waiter: Waiter, refusal: Decision, then: (decision: Decision) => void): void {
    const { synchronous, peek } = this.#limiter;
    const { call } = queue.refusal as Refusal;
    settle(
      () => (synchronous || !isEqualCall(waiter, call) ? peek(queue.key, waiter) : refusal),
      then,
      (error) => queue.reject(waiter, error),
    );
  }

  #fail(queue: Queue, waiter: Waiter, decision: Decision, waitFailedBy: WaitFailure): void {
    queue.remove(waiter);
    this.#limiter.notify(queue.key, decision);
    const message = `${decision.reason}: the queue is full (maxQueue is ${String(waiter.maxQueue)})`;
    const options =
      decision.retryAfterMs === Infinity
        ? ({ waitFailedBy: "cost" } as const)
        : { waitFailedBy, message: waitFailedBy === "queue-full" ? message : undefined };
    waiter.reject(new RateLimitExceededError(decision, options));
  }
}

/** Whether two calls of a key have the same cost and the same limits. False for two equal objects of limits, which costs a `peek`. */
function isEqualCall(one: CallRequest, other: CallRequest): boolean {
  return one.cost === other.cost && one.maxCalls === other.maxCalls;
}

/** How long a refused waiter sleeps. */
function sleepMs({ retryAfterMs, source }: Decision): number {
  return source === "fallback" ? Math.min(retryAfterMs, FALLBACK_SLEEP_MS) : retryAfterMs;
}

/** Whether a call cannot be admitted before its deadline. */
function missesDeadline(decision: Decision, { deadline }: Waiter, now: number): boolean {
  return !decision.allowed && (decision.retryAfterMs === Infinity || now + sleepMs(decision) > deadline);
}

/** Calls `then` with the result of `query`, at once or when its promise resolves; calls `fail` with an error of either. */
function settle<T>(query: () => T | Promise<T>, then: (value: T) => void, fail: (error: unknown) => void): void {
  try {
    const value = query();
    if (isPromiseLike(value)) value.then(then).then(undefined, fail);
    else then(value);
  } catch (error) {
    fail(error);
  }
}

/** A refusal as it is `ms` later, if no call is recorded. It stays a refusal: a positive wait stays at least 1 ms. */
function aged(refusal: Decision, ms: number): Decision {
  const later = (waitMs: number): number => (waitMs === 0 ? 0 : Math.max(1, waitMs - ms));
  const times = <T extends { retryAfterMs: number; resetAfterMs: number }>(of: T): T => ({
    ...of,
    retryAfterMs: later(of.retryAfterMs),
    resetAfterMs: later(of.resetAfterMs),
  });
  const layers = refusal.layers.map((layer) => ({ ...times(layer), moreAfterMs: later(layer.moreAfterMs) }));
  return makeDecision({ ...times(refusal), lockedForMs: later(refusal.lockedForMs), layers });
}

/** Refunds a call that was admitted after its waiter had been rejected. */
async function refundUnclaimed({ decision, release }: CheckedCall): Promise<void> {
  try {
    // Also when the store refunds nothing, because it was reset meanwhile.
    release?.refund();
    await receiptOf(decision)?.refund();
  } catch (error) {
    warn("SLUICEGATE_REFUND_FAILED", "A refund failed; the call of a waiter that gave up stays counted", error);
  }
}
