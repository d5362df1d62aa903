import { isPromiseLike, warn } from "../core/callbacks.js";
import type { Clock } from "../core/clock.js";
import { monotonicClock, nextTurn } from "../core/clock.js";
import type { Decision } from "../core/decision.js";
import { makeDecision, receiptOf } from "../core/decision.js";
import type { WaitFailure } from "../core/errors.js";
import { RateLimitExceededError, StoreError } from "../core/errors.js";
import { argumentError } from "../core/validate.js";
import { StoreTime } from "../store/store-time.js";
import type { WaitSignal } from "./abort.js";
import { onAbort } from "./abort.js";
import type { AcquireRequest } from "./acquire-options.js";
import { DEFAULT_MAX_QUEUE } from "./acquire-options.js";

/**
 * How many microtasks the drain leaves to a released caller. The first continues the code that awaits `acquire`; the others
 * serve code behind async functions that wrap it, such as `rateLimited`.
 */
const CALLER_MICROTASKS = 4;

/** Awaiting it takes one microtask. */
const MICROTASK = Promise.resolve();

/** How long the drain may run, in milliseconds, before timers and I/O get a turn of the event loop. */
const SLICE_MS = 5;

/** How many steps the drain does between two looks at the clock. */
const STEPS_PER_LOOK = 32;

/** The longest sleep after a refusal by a fallback, in milliseconds: the store itself may decide again by then. */
const FALLBACK_SLEEP_MS = 1000;

/** How many calls of a key are checked at once. If their waiters leave, the calls that the store admits are refunded. */
const MAX_CHECKING = 100;

/** The decision on a call that a queue has checked. */
export interface CheckedCall {
  readonly decision: Decision;
  /** To be called when the caller of an admitted call has continued. */
  readonly confirm: () => void;
}

/** The methods of a limiter that its queues use. `check` and `peek` do not notify `onDecision`. */
export interface QueuedLimiter {
  /**
   * Decides a call, and records it if it is admitted.
   *
   * @param pending - the cost of the calls of `key` that are being decided, or whose callers have not continued.
   * @returns undefined while the pending calls take all the room.
   */
  readonly check: (key: string, cost: number, pending: number) => CheckedCall | Promise<CheckedCall> | undefined;
  /** What `check` would decide. */
  readonly peek: (key: string, cost: number) => Decision | Promise<Decision>;
  /** Notifies `onDecision` of the decision that ends a wait. It never throws. */
  readonly notify: (key: string, decision: Decision) => void;
}

/** A call that waits: an item of a linked list. */
interface Waiter {
  readonly cost: number;
  readonly signal: WaitSignal | undefined;
  readonly maxQueue: number;
  /** The instant after which it does not wait, in store time; `Infinity` without a timeout. */
  readonly deadline: number;
  /** How many decisions of the store its queue had received when it joined. */
  readonly joinedAfter: number;
  readonly resolve: (decision: Decision) => void;
  readonly reject: (error: unknown) => void;
  stopListening: (() => void) | undefined;
  /** It was not admitted at once, and the queue had room for it. */
  isAccepted: boolean;
  hasLeft: boolean;
  previous: Waiter | undefined;
  next: Waiter | undefined;
}

/** The waiters of one key, in the order in which they joined. Joining, and leaving from any place, are O(1). */
class Queue {
  readonly key: string;
  first: Waiter | undefined;
  #last: Waiter | undefined;
  size = 0;
  /** The first waiter that is not accepted yet. All behind it are not, either. */
  firstNew: Waiter | undefined;
  acceptedCount = 0;
  /** A lower bound of all deadlines. */
  nextDeadline = Infinity;
  /** Waiters whose deadline has come, the first of them last. */
  expired: Waiter[] = [];

  /** The decision that refused the first waiter; undefined while that waiter may be checked. */
  refusal: Decision | undefined;
  /** When it was refused, and when it may be checked again, in store time. */
  refusedAt = 0;
  readyAt = Infinity;
  /** Counts the refunds, resets and changes of the limit. A refusal that was sent for before the latest is out of date. */
  changes = 0;

  /** The first waiter that no check under way is for. */
  firstUnchecked: Waiter | undefined;
  /** How many checks an asynchronous store is deciding, all of one cost. An admission is for the first waiter of that cost. */
  checking = 0;
  checkedCost = 0;
  /** How many checks may be under way: 1 until the store has said how much remains. */
  width = 1;
  /** What an asynchronous store has decided, in order. */
  readonly answers: (() => void)[] = [];
  answerCount = 0;
  isAsync = false;

  /** The cost of the calls that are being decided, or whose callers have not continued. */
  pending = 0;
  /** To be called when the caller that was released last has continued. */
  confirm: (() => void) | undefined;
  cancelTimer: (() => void) | undefined;

  constructor(key: string) {
    this.key = key;
  }

  add(waiter: Waiter): void {
    waiter.previous = this.#last;
    if (this.#last === undefined) this.first = waiter;
    else this.#last.next = waiter;
    this.#last = waiter;
    this.size += 1;
    this.firstNew ??= waiter;
    this.firstUnchecked ??= waiter;
    this.nextDeadline = Math.min(this.nextDeadline, waiter.deadline);
  }

  /** Precondition: it is the first that is not accepted. */
  accept(waiter: Waiter): void {
    waiter.isAccepted = true;
    this.acceptedCount += 1;
    this.firstNew = waiter.next;
  }

  remove(waiter: Waiter): void {
    waiter.hasLeft = true;
    waiter.stopListening?.();
    if (waiter.isAccepted) this.acceptedCount -= 1;
    if (this.firstNew === waiter) this.firstNew = waiter.next;
    if (this.firstUnchecked === waiter) this.firstUnchecked = waiter.next;
    // The next waiter may cost less than the one that was refused.
    if (this.first === waiter) this.refusal = undefined;
    if (waiter.previous === undefined) this.first = waiter.next;
    else waiter.previous.next = waiter.next;
    if (waiter.next === undefined) this.#last = waiter.previous;
    else waiter.next.previous = waiter.previous;
    // A dead waiter that is in the old generation must not keep the next ones alive.
    waiter.previous = waiter.next = undefined;
    this.size -= 1;
    if (this.size === 0) this.nextDeadline = Infinity;
  }

  /** Moves the waiters whose deadline has come by `now` to `expired`. */
  findExpired(now: number): void {
    this.nextDeadline = Infinity;
    for (let waiter = this.first; waiter !== undefined; waiter = waiter.next) {
      if (waiter.deadline <= now) this.expired.push(waiter);
      else this.nextDeadline = Math.min(this.nextDeadline, waiter.deadline);
    }
    this.expired.reverse();
  }

  rejectAll(error: unknown): void {
    for (let waiter = this.first; waiter !== undefined; waiter = this.first) {
      this.remove(waiter);
      waiter.reject(error);
    }
  }
}

/**
 * The queues of one limiter, one for each key that has waiters. First in, first out.
 *
 * The first waiter of a queue is checked. If it is refused, the queue sleeps until the instant that the refusal names, and
 * checks again, because a timer may fire early and another call may have taken the place. If an asynchronous store admits
 * it, as many of the next are checked at once as its decision says that remain. All queues are drained by one loop, in
 * microtasks: one caller is released, and the next one when that caller has continued.
 */
export class AcquireQueues {
  readonly #clock: Clock;
  /** Store time never runs backwards, so a clock that steps back freezes no waiter. */
  readonly #time: StoreTime;
  readonly #limiter: QueuedLimiter;
  readonly #queues = new Map<string, Queue>();
  /** The queues that have something to do. */
  readonly #ready = new Set<Queue>();
  #isDraining = false;

  /** @throws TypeError when the clock cannot wake. */
  constructor(clock: Clock, limiter: QueuedLimiter) {
    if (clock.wake === undefined) {
      throw new TypeError(argumentError("clock", "a clock with a `wake` function, for acquire", clock));
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
    { cost, signal, timeoutMs, maxQueue }: AcquireRequest,
    resolve: (decision: Decision) => void,
    reject: (error: unknown) => void,
  ): void {
    if (signal?.aborted === true) {
      reject(signal.reason);
      return;
    }
    const deadline = timeoutMs === Infinity ? Infinity : this.#now() + timeoutMs;
    const queue = this.#queues.get(key) ?? new Queue(key);
    if (queue.checking > 0 && queue.size >= Math.max(maxQueue, DEFAULT_MAX_QUEUE)) {
      // Without this bound, calls would pile up where the store decides more slowly than they arrive, and refuses none.
      reject(new StoreError(`The store decides too slowly: ${queue.size} calls of one key wait for it`));
      return;
    }
    const waiter: Waiter = {
      cost,
      signal,
      maxQueue,
      deadline,
      joinedAfter: queue.answerCount,
      resolve,
      reject,
      stopListening: undefined,
      isAccepted: false,
      hasLeft: false,
      previous: undefined,
      next: undefined,
    };
    if (signal !== undefined) {
      waiter.stopListening = onAbort(signal, () => {
        queue.remove(waiter);
        reject(signal.reason);
        this.#schedule(queue);
      });
    }
    queue.add(waiter);
    this.#queues.set(key, queue);
    // Even behind others: its deadline may need an earlier timer, and a timer that fake timers took away needs a new one.
    this.#schedule(queue);
  }

  /** Checks the first waiter of a key again, or of every key: a refund, a reset or another limit may admit it. */
  recheck(key?: string): void {
    const queues = key === undefined ? this.#queues.values() : [this.#queues.get(key)];
    for (const queue of queues) {
      if (queue === undefined) continue;
      queue.changes += 1;
      queue.refusal = undefined;
      this.#schedule(queue);
    }
  }

  /** Rejects every waiter with `error`. A call that the store is deciding at this moment is refunded if it is admitted. */
  rejectAll(error: unknown): void {
    for (const queue of this.#queues.values()) {
      queue.rejectAll(error);
      this.#schedule(queue);
    }
  }

  #now(): number {
    this.#time.read();
    return this.#time.now;
  }

  #schedule(queue: Queue): void {
    this.#ready.add(queue);
    if (!this.#isDraining) void this.#drain();
  }

  async #drain(): Promise<void> {
    this.#isDraining = true;
    // The synchronous code that is running comes first: no caller can continue before it ends.
    await MICROTASK;
    let startedAt = monotonicClock.now();
    let steps = 0;
    // The loop includes the queues that become ready while it runs.
    for (const queue of this.#ready) {
      this.#ready.delete(queue);
      if (this.#step(queue)) this.#ready.add(queue);
      if (queue.confirm !== undefined) for (let left = CALLER_MICROTASKS; left > 0; left -= 1) await MICROTASK;
      steps += 1;
      if (steps % STEPS_PER_LOOK === 0 && monotonicClock.now() - startedAt > SLICE_MS) {
        await nextTurn();
        startedAt = monotonicClock.now();
      }
    }
    this.#isDraining = false;
  }

  /** Does one unit of work on a queue. False if there was none: then the queue sleeps, or is gone. */
  #step(queue: Queue): boolean {
    try {
      const { confirm } = queue;
      queue.confirm = undefined;
      confirm?.();
      // Between two listeners of one signal, some runtimes run microtasks. None of its waiters may be released.
      for (let { first } = queue; first?.signal?.aborted === true; first = queue.first) {
        queue.remove(first);
        first.reject(first.signal.reason);
      }
      if (this.#applyAnswer(queue) || this.#checkNext(queue) || this.#acceptNew(queue) || this.#expire(queue))
        return true;
      this.#sleep(queue);
      return false;
    } catch (error) {
      // The clock failed, so nothing could wake the waiters.
      queue.rejectAll(error);
      return true;
    }
  }

  #applyAnswer({ answers }: Queue): boolean {
    const apply = answers.shift();
    apply?.();
    return apply !== undefined;
  }

  /** Checks the first waiter that is not being checked, if it may be admitted now. */
  #checkNext(queue: Queue): boolean {
    const { firstUnchecked: waiter, checking, changes } = queue;
    if (waiter === undefined) return false;
    if (checking > 0) {
      // A call that would not wait for those in front is checked at once.
      const mayCheck = queue.refusal === undefined && (checking < queue.width || waiter.maxQueue <= checking);
      if (!mayCheck || waiter.cost !== queue.checkedCost) return false;
    } else if (queue.refusal !== undefined && this.#now() < queue.readyAt) {
      return false;
    }
    const { cost } = waiter;
    let checked: CheckedCall | Promise<CheckedCall> | undefined;
    try {
      checked = this.#limiter.check(queue.key, cost, queue.pending);
    } catch (error) {
      queue.remove(waiter);
      waiter.reject(error);
      return true;
    }
    if (checked === undefined) return false;
    queue.refusal = undefined;
    queue.checkedCost = cost;
    queue.pending += cost;
    if (!isPromiseLike(checked)) {
      this.#apply(queue, cost, checked, changes);
      return true;
    }
    queue.isAsync = true;
    queue.checking += 1;
    queue.firstUnchecked = waiter.next;
    const answer = (apply: () => void): void => {
      queue.answers.push(() => {
        queue.checking -= 1;
        queue.answerCount += 1;
        apply();
      });
      this.#schedule(queue);
    };
    checked.then(
      (made) => answer(() => this.#apply(queue, cost, made, changes)),
      (error: unknown) => answer(() => this.#failCheck(queue, cost, error)),
    );
    return true;
  }

  /** Applies the decision on a call of `cost` to the first waiter, if that has the same cost. */
  #apply(queue: Queue, cost: number, { decision, confirm }: CheckedCall, changes: number): void {
    const { first } = queue;
    const waiter = first?.cost === cost ? first : undefined;
    if (decision.allowed) {
      const admissible = decision.shadowed ? MAX_CHECKING : Math.floor(decision.remaining / cost);
      queue.width = Math.min(MAX_CHECKING, Math.max(1, admissible));
      const release = (): void => {
        queue.pending -= cost;
        confirm();
      };
      if (waiter === undefined) {
        // Those that it was meant for have left.
        void giveBack(decision);
        release();
        return;
      }
      queue.remove(waiter);
      queue.confirm = release;
      this.#limiter.notify(queue.key, decision);
      waiter.resolve(decision);
      return;
    }
    queue.pending -= cost;
    queue.width = 1;
    queue.firstUnchecked = first;
    if (waiter !== undefined && changes === queue.changes) this.#refuseFirst(queue, waiter, decision);
  }

  #failCheck(queue: Queue, cost: number, error: unknown): void {
    const { first } = queue;
    queue.pending -= cost;
    // Else those that it was meant for have left.
    if (first?.cost !== cost) return;
    queue.remove(first);
    first.reject(error);
  }

  /** Keeps the first waiter, and lets the queue sleep; or rejects it, if it cannot wait for so long. */
  #refuseFirst(queue: Queue, waiter: Waiter, decision: Decision): void {
    const now = this.#now();
    const readyAt = now + sleepMs(decision);
    const isFull = !waiter.isAccepted && waiter.maxQueue === 0;
    if (isFull || readyAt === Infinity || readyAt > waiter.deadline) {
      queue.remove(waiter);
      this.#fail(queue, waiter, decision, isFull ? "queue-full" : "timeout");
      return;
    }
    queue.refusal = decision;
    queue.refusedAt = now;
    queue.readyAt = readyAt;
    if (!waiter.isAccepted) queue.accept(waiter);
  }

  /** Accepts one new waiter behind a first waiter that sleeps; or rejects it, if the queue is full or the wait hopeless. */
  #acceptNew(queue: Queue): boolean {
    const { first, firstNew: waiter, refusal } = queue;
    if (first === undefined || waiter === undefined || refusal === undefined) return false;
    if (queue.acceptedCount >= waiter.maxQueue) {
      this.#reject(queue, waiter, "queue-full");
      return true;
    }
    queue.accept(waiter);
    // It passes some day, as the first one does.
    if (waiter.deadline === Infinity && waiter.cost <= first.cost) return true;
    const rejectIfHopeless = (decision: Decision): void => {
      if (decision.allowed || waiter.hasLeft) return;
      if (sleepMs(decision) < Infinity && this.#now() + sleepMs(decision) <= waiter.deadline) return;
      queue.remove(waiter);
      this.#fail(queue, waiter, decision, "timeout");
      this.#schedule(queue);
    };
    const fail = (error: unknown): void => {
      if (waiter.hasLeft) return;
      queue.remove(waiter);
      waiter.reject(error);
      this.#schedule(queue);
    };
    settle(
      () => this.#refusalOf(queue, waiter.cost) ?? this.#limiter.peek(queue.key, waiter.cost),
      rejectIfHopeless,
      fail,
    );
    return true;
  }

  /** Rejects one waiter whose deadline has come. */
  #expire(queue: Queue): boolean {
    const { expired } = queue;
    if (expired.length === 0) {
      const now = this.#now() - graceMs(queue);
      if (now < queue.nextDeadline) return false;
      queue.findExpired(now);
    }
    const waiter = expired.pop();
    if (waiter === undefined || waiter.hasLeft) return true;
    if (queue.checking > 0 && queue.answerCount === waiter.joinedAfter) {
      queue.remove(waiter);
      waiter.reject(new StoreError("The store did not answer before the timeout of a call that waits for its turn"));
    } else {
      this.#reject(queue, waiter, "timeout");
    }
    return true;
  }

  /** Rejects a waiter with the present decision on its call; where that admits it, with the refusal of the first waiter. */
  #reject(queue: Queue, waiter: Waiter, failedBy: WaitFailure): void {
    const { key, refusal, refusedAt } = queue;
    const known = this.#refusalOf(queue, waiter.cost);
    queue.remove(waiter);
    settle(
      () => known ?? this.#limiter.peek(key, waiter.cost),
      (own) => {
        const decision = own.allowed && refusal !== undefined ? aged(refusal, this.#now() - refusedAt) : own;
        this.#fail(queue, waiter, decision, failedBy);
      },
      waiter.reject,
    );
  }

  /** The present refusal of a call of `cost`, if an asynchronous store has refused the first waiter, and that has the same cost. */
  #refusalOf({ isAsync, refusal, first, refusedAt }: Queue, cost: number): Decision | undefined {
    if (!isAsync || refusal === undefined || first?.cost !== cost) return undefined;
    return aged(refusal, this.#now() - refusedAt);
  }

  /** Rejects a waiter that has left its queue. */
  #fail(queue: Queue, waiter: Waiter, decision: Decision, failedBy: WaitFailure): void {
    this.#limiter.notify(queue.key, decision);
    waiter.reject(waitError(decision, failedBy, waiter.maxQueue));
  }

  /** Sets the timer to when the first waiter may be checked, or a deadline comes. */
  #sleep(queue: Queue): void {
    const { cancelTimer, checking, refusal } = queue;
    queue.cancelTimer = undefined;
    cancelTimer?.();
    if (queue.size === 0 && checking === 0) this.#queues.delete(queue.key);
    const readyAt = refusal === undefined || checking > 0 ? Infinity : queue.readyAt;
    const until = Math.min(readyAt, queue.nextDeadline + graceMs(queue));
    if (until === Infinity) return;
    queue.cancelTimer = this.#clock.wake?.(Math.max(0, until - this.#now()), () => {
      queue.cancelTimer = undefined;
      this.#schedule(queue);
    });
  }
}

/** A store may admit a call at the very instant of its deadline, and decide some time later. */
function graceMs({ checking }: Queue): number {
  return checking > 0 ? 1 : 0;
}

/** How long a refused waiter sleeps. */
function sleepMs({ retryAfterMs, source }: Decision): number {
  return source === "fallback" ? Math.min(retryAfterMs, FALLBACK_SLEEP_MS) : retryAfterMs;
}

/** A refusal as it is some time later, if no call is recorded. */
function aged(refusal: Decision, ms: number): Decision {
  const times = <T extends { retryAfterMs: number; resetAfterMs: number }>(of: T): T => ({
    ...of,
    retryAfterMs: Math.max(0, of.retryAfterMs - ms),
    resetAfterMs: Math.max(0, of.resetAfterMs - ms),
  });
  const layers = refusal.layers.map((layer) => ({ ...times(layer), moreAfterMs: Math.max(0, layer.moreAfterMs - ms) }));
  return makeDecision({ ...times(refusal), layers });
}

/** Runs `query` and passes on its result, now or later, to `then`; an error of any of them goes to `fail`. */
function settle<T>(query: () => T | Promise<T>, then: (value: T) => void, fail: (error: unknown) => void): void {
  try {
    const value = query();
    if (isPromiseLike(value)) value.then(then).then(undefined, fail);
    else then(value);
  } catch (error) {
    fail(error);
  }
}

function waitError(decision: Decision, failedBy: WaitFailure, maxQueue: number): RateLimitExceededError {
  if (decision.retryAfterMs === Infinity) return new RateLimitExceededError(decision, { waitFailedBy: "cost" });
  // The decision on a call may be to admit it, where it waited for the decisions on others.
  if (failedBy === "timeout" && !decision.allowed)
    return new RateLimitExceededError(decision, { waitFailedBy: failedBy });
  const cause = failedBy === "timeout" ? "the timeout ended" : `the queue is full (maxQueue is ${maxQueue})`;
  const message = decision.allowed ? `Not decided yet: ${cause}` : `${decision.reason}: ${cause}`;
  return new RateLimitExceededError(decision, { waitFailedBy: failedBy, message });
}

/** Refunds a call that was admitted after its waiter had left. */
async function giveBack(decision: Decision): Promise<void> {
  try {
    await receiptOf(decision)?.refund();
  } catch (error) {
    warn("A refund failed; the call of a waiter that gave up stays counted", error);
  }
}
