import type { Clock } from "../core/clock.js";
import { monotonicClock, nextTurn } from "../core/clock.js";
import type { Decision } from "../core/decision.js";
import { receiptOf } from "../core/decision.js";
import type { WaitFailure } from "../core/errors.js";
import { RateLimitExceededError, StoreError } from "../core/errors.js";
import { argumentError } from "../core/validate.js";
import { andThen, isPromiseLike, warn } from "../core/callbacks.js";
import { StoreTime } from "../store/store-time.js";
import type { WaitSignal } from "./abort.js";
import { onAbort } from "./abort.js";
import type { AcquireRequest } from "./acquire-options.js";
import { DEFAULT_MAX_QUEUE } from "./acquire-options.js";
import type { HeapItem } from "./deadline-heap.js";
import { DeadlineHeap } from "./deadline-heap.js";

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

/** The methods of a limiter that its queues use. `check` and `peek` do not notify `onDecision`. */
export interface QueuedLimiter {
  /** Decides a call, and records it if it is admitted. */
  readonly check: (key: string, cost: number) => Decision | Promise<Decision>;
  /** What `check` would decide. */
  readonly peek: (key: string, cost: number) => Decision | Promise<Decision>;
  /** Called when the caller of the latest admitted call of `key` has continued. */
  readonly confirm: (key: string) => void;
  /** Notifies `onDecision` of the decision that ends a wait. It never throws. */
  readonly notify: (key: string, decision: Decision) => void;
}

/** A call that waits: an item of a linked list, and of a heap if it has a timeout. */
interface Waiter extends HeapItem {
  readonly cost: number;
  readonly signal: WaitSignal | undefined;
  readonly maxQueue: number;
  /** The instant after which it does not wait, in store time; `Infinity` without a timeout. */
  readonly deadline: number;
  readonly resolve: (decision: Decision) => void;
  readonly reject: (error: unknown) => void;
  stopListening: (() => void) | undefined;
  /** It was not admitted at once, and the queue had room for it. */
  isAccepted: boolean;
  hasLeft: boolean;
  previous: Waiter | undefined;
  next: Waiter | undefined;
}

/** The waiters of one key, in the order in which they joined. Joining and leaving from any place are O(log n). */
class Queue {
  readonly key: string;
  readonly deadlines: DeadlineHeap<Waiter> = new DeadlineHeap<Waiter>();
  first: Waiter | undefined;
  #last: Waiter | undefined;
  size = 0;
  /** The first waiter that is not accepted yet. All behind it are not, either. */
  firstNew: Waiter | undefined;
  acceptedCount = 0;

  /** The decision that refused the first waiter; undefined while that waiter may be checked. */
  refusal: Decision | undefined;
  /** When the first waiter may be checked again, in store time. */
  readyAt = Infinity;
  /** An asynchronous store is deciding the call of the first waiter, or of one that has left since. */
  isChecking = false;
  /** Applies the decision that an asynchronous store has sent. */
  applyAnswer: (() => void) | undefined;
  /** A refund, a reset or another limit came while the store was deciding: a refusal is out of date. */
  isOutdated = false;
  /** A waiter was released, and its caller has not been confirmed to continue. */
  hasReleased = false;
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
    if (waiter.deadline < Infinity) this.deadlines.add(waiter);
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
    // The next waiter may cost less than the one that was refused.
    if (this.first === waiter) this.refusal = undefined;
    if (waiter.previous === undefined) this.first = waiter.next;
    else waiter.previous.next = waiter.next;
    if (waiter.next === undefined) this.#last = waiter.previous;
    else waiter.next.previous = waiter.previous;
    // A dead waiter that is in the old generation must not keep the next ones alive.
    waiter.previous = waiter.next = undefined;
    this.size -= 1;
    this.deadlines.remove(waiter);
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
 * Only the first waiter of a queue is checked. If it is refused, the queue sleeps until the instant that the refusal names
 * and checks again, because a timer may fire early and another call may have taken the place. All queues are drained by one
 * loop, in microtasks: a call is recorded when its caller is released, and the next one when that caller has continued.
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
    if (queue.isChecking && queue.size >= Math.max(maxQueue, DEFAULT_MAX_QUEUE)) {
      // Without this bound, calls would pile up where the store decides more slowly than they arrive, and refuses none.
      reject(new StoreError(`The store decides too slowly: ${queue.size} calls of one key wait for it`));
      return;
    }
    const waiter: Waiter = {
      cost,
      signal,
      maxQueue,
      deadline,
      resolve,
      reject,
      stopListening: undefined,
      isAccepted: false,
      hasLeft: false,
      previous: undefined,
      next: undefined,
      expiresAt: deadline,
      heapIndex: -1,
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
      queue.isOutdated = true;
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
      if (queue.hasReleased) for (let left = CALLER_MICROTASKS; left > 0; left -= 1) await MICROTASK;
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
      if (queue.hasReleased) {
        queue.hasReleased = false;
        this.#limiter.confirm(queue.key);
      }
      if (this.#checkFirst(queue) || this.#acceptNew(queue) || this.#expire(queue)) return true;
      this.#sleep(queue);
      return false;
    } catch (error) {
      // The clock failed, so nothing could wake the waiters.
      queue.rejectAll(error);
      return true;
    }
  }

  /** Checks the first waiter if it may be admitted, and applies the decision on it. */
  #checkFirst(queue: Queue): boolean {
    const { first: waiter, applyAnswer } = queue;
    if (queue.isChecking) {
      if (applyAnswer === undefined) return false;
      queue.isChecking = false;
      queue.applyAnswer = undefined;
      applyAnswer();
      return true;
    }
    if (waiter === undefined || (queue.refusal !== undefined && this.#now() < queue.readyAt)) return false;
    queue.refusal = undefined;
    queue.isOutdated = false;
    if (waiter.signal?.aborted === true) {
      // Between two listeners of one signal, some runtimes run microtasks. None of its waiters may be released.
      queue.remove(waiter);
      waiter.reject(waiter.signal.reason);
      return true;
    }
    const fail = (error: unknown): void => {
      if (waiter.hasLeft) return;
      queue.remove(waiter);
      waiter.reject(error);
    };
    let decision: Decision | Promise<Decision>;
    try {
      decision = this.#limiter.check(queue.key, waiter.cost);
    } catch (error) {
      fail(error);
      return true;
    }
    if (isPromiseLike(decision)) this.#awaitAnswer(queue, waiter, decision, fail);
    else this.#apply(queue, waiter, decision);
    return true;
  }

  #awaitAnswer(queue: Queue, waiter: Waiter, decision: Promise<Decision>, fail: (error: unknown) => void): void {
    queue.isChecking = true;
    if (waiter.deadline < Infinity && !waiter.hasLeft) {
      // The store may admit the call at the very instant of its deadline.
      queue.deadlines.remove(waiter);
      waiter.expiresAt = waiter.deadline + 1;
      queue.deadlines.add(waiter);
    }
    const answer = (apply: () => void): void => {
      queue.applyAnswer = apply;
      this.#schedule(queue);
    };
    decision.then(
      (made) => answer(() => this.#apply(queue, waiter, made)),
      (error: unknown) => answer(() => fail(error)),
    );
  }

  #apply(queue: Queue, waiter: Waiter, decision: Decision): void {
    if (waiter.hasLeft) {
      void giveBack(decision);
      this.#limiter.confirm(queue.key);
    } else if (decision.allowed) {
      queue.remove(waiter);
      queue.hasReleased = true;
      this.#limiter.notify(queue.key, decision);
      waiter.resolve(decision);
    } else if (!queue.isOutdated) {
      this.#refuseFirst(queue, waiter, decision);
    }
  }

  /** Keeps the first waiter, and lets the queue sleep; or rejects it, if it cannot wait for so long. */
  #refuseFirst(queue: Queue, waiter: Waiter, decision: Decision): void {
    const readyAt = this.#now() + decision.retryAfterMs;
    const isFull = !waiter.isAccepted && waiter.maxQueue === 0;
    if (isFull || readyAt === Infinity || readyAt > waiter.deadline) {
      queue.remove(waiter);
      this.#fail(queue, waiter, decision, isFull ? "queue-full" : "timeout");
      return;
    }
    queue.refusal = decision;
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
      if (decision.retryAfterMs < Infinity && this.#now() + decision.retryAfterMs <= waiter.deadline) return;
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
    settle(() => this.#limiter.peek(queue.key, waiter.cost), rejectIfHopeless, fail);
    return true;
  }

  /** Rejects one waiter whose deadline has come. */
  #expire(queue: Queue): boolean {
    const waiter = queue.deadlines.first;
    if (waiter === undefined || waiter.expiresAt > this.#now()) return false;
    if (queue.isChecking) {
      queue.remove(waiter);
      waiter.reject(new StoreError("The store did not answer before the timeout of a call that waits for its turn"));
    } else {
      this.#reject(queue, waiter, "timeout");
    }
    return true;
  }

  /** Rejects a waiter with the present decision on its call; where that is none, with the one on the first waiter. */
  #reject(queue: Queue, waiter: Waiter, failedBy: WaitFailure): void {
    const { first = waiter, refusal, key } = queue;
    queue.remove(waiter);
    settle(
      () =>
        andThen(this.#limiter.peek(key, waiter.cost), (own) =>
          own.allowed ? this.#limiter.peek(key, first.cost) : own,
        ),
      (decision) => this.#fail(queue, waiter, decision.allowed ? (refusal ?? decision) : decision, failedBy),
      waiter.reject,
    );
  }

  /** Rejects a waiter that has left its queue. */
  #fail(queue: Queue, waiter: Waiter, decision: Decision, failedBy: WaitFailure): void {
    this.#limiter.notify(queue.key, decision);
    waiter.reject(waitError(decision, failedBy, waiter.maxQueue));
  }

  /** Sets the timer to when the first waiter may be checked, or a deadline comes. */
  #sleep(queue: Queue): void {
    const { cancelTimer } = queue;
    queue.cancelTimer = undefined;
    cancelTimer?.();
    if (queue.size === 0 && !queue.isChecking) this.#queues.delete(queue.key);
    const readyAt = queue.refusal === undefined ? Infinity : queue.readyAt;
    const until = Math.min(readyAt, queue.deadlines.first?.expiresAt ?? Infinity);
    if (until === Infinity) return;
    queue.cancelTimer = this.#clock.wake?.(Math.max(0, until - this.#now()), () => {
      queue.cancelTimer = undefined;
      this.#schedule(queue);
    });
  }
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
  if (failedBy !== "queue-full") return new RateLimitExceededError(decision, { waitFailedBy: failedBy });
  const message = `${decision.reason}: the queue is full (maxQueue is ${maxQueue})`;
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
