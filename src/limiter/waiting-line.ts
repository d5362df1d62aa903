import type { Decision } from "../core/decision.js";
import { receiptOf } from "../core/decision.js";
import { RateLimitExceededError, StoreError } from "../core/errors.js";
import { isPromiseLike } from "../core/promise-like.js";
import { warn } from "../core/warn.js";
import type { WaitSignal } from "./abort-watch.js";
import { onAbort } from "./abort-watch.js";
import { answered } from "./answered.js";
import type { Wish } from "./wish.js";

/** What a line needs of its limiter: to ask for a cost without telling anybody, and a clock to sleep by. */
export interface Counter {
  readonly check: (cost: number) => Decision | Promise<Decision>;
  readonly peek: (cost: number) => Decision | Promise<Decision>;
  /** Store time in whole milliseconds: it never runs backwards, as the log's does not. */
  readonly now: () => number;
  readonly wake: (afterMs: number, run: () => void) => (() => void) | undefined;
}

interface Waiter {
  readonly cost: number;
  readonly signal: WaitSignal | undefined;
  /** Whether it stands in line when it is not let in at once. */
  readonly mayWait: boolean;
  /** When its patience ends. */
  readonly deadline: number;
  readonly leave: (outcome: Decision | { readonly error: unknown }) => void;
  hasLeft: boolean;
}

/**
 * Those who wait for a turn of one key: first come, first served.
 *
 * Only the first asks. Refused, it sleeps until the instant the refusal named and asks again, because a timer may be early
 * and the place taken meanwhile. One timer for the whole line.
 */
export class WaitingLine {
  readonly #counter: Counter;
  readonly #onEmpty: () => void;
  readonly #waiters: Waiter[] = [];
  /** The first has asked and not been answered yet: nobody asks beside it. */
  #isAsking = false;
  /** Something changed while the first was asking: a refusal is out of date, and it asks again. */
  #isOutdated = false;
  /** The first was refused, and sleeps until `#readyAt`. */
  #refusal: Decision | undefined;
  #readyAt = Infinity;
  /** The line is being served further up the stack, which goes on by itself. */
  #isServed = false;
  /** Calls off the timer. */
  #callOff: (() => void) | undefined;

  /** @param onEmpty - told when nobody waits any more. */
  constructor(counter: Counter, onEmpty: () => void) {
    this.#counter = counter;
    this.#onEmpty = onEmpty;
  }

  /** Whether nobody waits, and nobody asks. */
  get isEmpty(): boolean {
    return this.#waiters.length === 0 && !this.#isAsking;
  }

  /**
   * Resolves with the decision that admits, or rejects: with the signal's reason, with a `RateLimitExceededError` when the
   * wait would be, or has been, too long, or with what the store rejects with.
   */
  join({ cost, signal, timeoutMs, maxQueue }: Wish): Promise<Decision> {
    return new Promise((resolve, reject) => {
      const waiter: Waiter = {
        cost,
        signal,
        mayWait: this.#waiters.length < maxQueue,
        deadline: this.#counter.now() + timeoutMs,
        hasLeft: false,
        leave: (outcome) => {
          if (waiter.hasLeft) return;
          waiter.hasLeft = true;
          stopWatching?.();
          if ("error" in outcome) reject(outcome.error);
          else resolve(outcome);
          const place = this.#waiters.indexOf(waiter);
          this.#waiters.splice(place, 1);
          // The next has not asked yet, and may want less.
          if (place === 0) this.serve();
        },
      };
      const stopWatching = signal && onAbort(signal, () => waiter.leave({ error: signal.reason }));
      this.#waiters.push(waiter);
      if (this.#waiters[0] === waiter) this.serve();
      else this.#lineUp(waiter);
    });
  }

  /** Lets one after another ask, until one is to sleep or a store is to answer. */
  serve(): void {
    if (this.#isAsking) this.#isOutdated = true;
    if (this.#isServed || this.#isAsking) return;
    this.#isServed = true;
    this.#refusal = undefined;
    // A loop, because thousands may be let in at one instant: each would be some frames deeper on the stack.
    for (let [first] = this.#waiters; first !== undefined && !this.#isHeldUp; [first] = this.#waiters) {
      // One signal may stand for many waiters, and is heard by one after another: none of them is to be let in.
      if (first.signal?.aborted === true) first.leave({ error: first.signal.reason });
      else this.#ask(first);
    }
    this.#isServed = false;
    this.#setTimer();
    if (this.isEmpty) this.#onEmpty();
  }

  /** Rejects every waiter. */
  rejectAll(error: unknown): void {
    for (const waiter of [...this.#waiters]) waiter.leave({ error });
  }

  get #isHeldUp(): boolean {
    return this.#isAsking || this.#refusal !== undefined;
  }

  /** One that is not the first learns only whether its wait is hopeless: too long, or in too long a line. */
  #lineUp(waiter: Waiter): void {
    const told = (decision: Decision): void => {
      if (!decision.allowed && this.#isHopeless(waiter, decision)) {
        waiter.leave({ error: new RateLimitExceededError(decision) });
      } else if (!waiter.mayWait && this.#refusal !== undefined) {
        waiter.leave({ error: new RateLimitExceededError(decision.allowed ? this.#refusal : decision) });
      } else if (waiter.deadline < Infinity) {
        this.#setTimer();
      }
    };
    const failed = (error: unknown): void => {
      waiter.leave({ error });
    };
    answered(() => this.#counter.peek(waiter.cost), told, failed);
  }

  #ask(first: Waiter): void {
    this.#isAsking = true;
    this.#isOutdated = false;
    const told = (decision: Decision): void => {
      this.#isAsking = false;
      if (first.hasLeft) {
        // It gave up while the store was answering: what was spent for it is given back.
        giveBack(decision);
      } else if (decision.allowed) {
        first.leave(decision);
      } else if (!this.#isOutdated) {
        this.#refused(first, decision);
      }
      if (!this.#isHeldUp) this.serve();
      else this.#setTimer();
    };
    const failed = (error: unknown): void => {
      this.#isAsking = false;
      first.leave({ error });
      this.serve();
    };
    answered(() => this.#counter.check(first.cost), told, failed);
  }

  /** The first sleeps, if it may wait so long; and those leave who would not wait behind it. */
  #refused(first: Waiter, decision: Decision): void {
    if (!first.mayWait || this.#isHopeless(first, decision)) {
      first.leave({ error: new RateLimitExceededError(decision) });
      return;
    }
    this.#refusal = decision;
    this.#readyAt = this.#counter.now() + decision.retryAfterMs;
    for (const waiter of this.#waiters.filter((other) => other !== first && !other.mayWait)) {
      waiter.leave({ error: new RateLimitExceededError(decision) });
    }
  }

  /** Sets the one timer to when the first may ask, or somebody's patience ends. */
  #setTimer(): void {
    if (this.#isServed) return;
    this.#callOff?.();
    this.#callOff = undefined;
    const readyAt = this.#refusal === undefined ? Infinity : this.#readyAt;
    const until = this.#waiters.reduce((earliest, waiter) => Math.min(earliest, this.#givesUpAt(waiter)), readyAt);
    if (until === Infinity) return;
    this.#unlessFailed(() => {
      this.#callOff = this.#counter.wake(Math.max(0, until - this.#counter.now()), () => {
        this.#callOff = undefined;
        this.#unlessFailed(() => {
          this.#woken();
        });
      });
    });
  }

  /** Where the clock fails nobody could be woken: all are told so, and none is left waiting. */
  #unlessFailed(run: () => void): void {
    try {
      run();
    } catch (error) {
      this.rejectAll(error);
    }
  }

  #woken(): void {
    // First the asking: who may pass at the very instant its patience ends, passes.
    if (this.#refusal !== undefined && this.#counter.now() >= this.#readyAt) this.serve();
    const now = this.#counter.now();
    for (const waiter of [...this.#waiters]) {
      if (!waiter.hasLeft && this.#givesUpAt(waiter) <= now) waiter.leave({ error: this.#outOfPatience(waiter) });
    }
    this.#setTimer();
  }

  /** When a waiter leaves unserved: at its deadline, but for one that is asking, since it may be let in at that instant. */
  #givesUpAt(waiter: Waiter): number {
    return this.#isAsking && this.#waiters[0] === waiter ? waiter.deadline + 1 : waiter.deadline;
  }

  /** Why a waiter is not let in now: what it would be told itself, else what the first was. */
  #outOfPatience(waiter: Waiter): unknown {
    const [first = waiter] = this.#waiters;
    for (const { cost } of this.#isAsking ? [] : [waiter, first]) {
      const decision = this.#counter.peek(cost);
      if (!isPromiseLike(decision) && !decision.allowed) return new RateLimitExceededError(decision);
    }
    if (this.#refusal !== undefined) return new RateLimitExceededError(this.#refusal);
    return new StoreError("The store did not answer before the timeout of a call that waits for its turn");
  }

  /** Whether even the first instant the log allows lies behind the end of the waiter's patience. */
  #isHopeless({ deadline }: Waiter, { retryAfterMs }: Decision): boolean {
    return retryAfterMs === Infinity || this.#counter.now() + retryAfterMs > deadline;
  }
}

function giveBack(decision: Decision): void {
  const failed = (error: unknown): void => {
    warn("A refund failed; the call of a waiter that gave up stays counted", error);
  };
  answered(
    () => receiptOf(decision)?.refund() ?? false,
    () => undefined,
    failed,
  );
}
