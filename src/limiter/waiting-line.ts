import type { Clock } from "../core/clock.js";
import type { Decision } from "../core/decision.js";
import { receiptOf } from "../core/decision.js";
import { RateLimitExceededError } from "../core/errors.js";
import { isPromiseLike } from "../core/mutex.js";
import { warn } from "../core/warn.js";
import { onAbort } from "./abort-watch.js";
import type { Wish } from "./wish.js";

/** What a line needs of its limiter: to ask for a cost without telling anybody, and the clock its store goes by. */
export interface Counter {
  readonly check: (cost: number) => Decision | Promise<Decision>;
  readonly peek: (cost: number) => Decision | Promise<Decision>;
  readonly clock: WakingClock;
}

/** A clock that can be slept by. */
export type WakingClock = Clock & Required<Pick<Clock, "wake">>;

interface Waiter {
  readonly cost: number;
  /** Whether it stands in line when it is not let in at once. */
  readonly mayWait: boolean;
  /** When its patience ends, on the clock. */
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
  /** The line is being served further up the stack, which goes on by itself. */
  #isServed = false;
  /** What the first was last told. */
  #refusal: Decision | undefined;
  /** When the first is to ask again. */
  #readyAt = -Infinity;
  /** Calls off the timer; undefined while none runs. */
  #callOff: (() => void) | undefined;

  /** @param onEmpty - told when nobody waits any more. */
  constructor(counter: Counter, onEmpty: () => void) {
    this.#counter = counter;
    this.#onEmpty = onEmpty;
  }

  /**
   * Resolves with the decision that admits, or rejects: with the signal's reason, with a `RateLimitExceededError` when the
   * wait would be, or has been, too long, or with what the store rejects with.
   */
  join({ cost, signal, timeoutMs, maxQueue }: Wish): Promise<Decision> {
    return new Promise((resolve, reject) => {
      const waiter: Waiter = {
        cost,
        mayWait: this.#waiters.length < maxQueue,
        deadline: this.#counter.clock.now() + timeoutMs,
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
    if (this.#isServed || this.#isAsking) return;
    this.#isServed = true;
    this.#callOff?.();
    this.#callOff = undefined;
    // A loop, because thousands may be let in at one instant: each would be some frames deeper on the stack.
    for (let [first] = this.#waiters; first !== undefined && !this.#isHeldUp; [first] = this.#waiters) this.#ask(first);
    this.#isServed = false;
    if (this.isEmpty) this.#onEmpty();
  }

  /** Whether nobody waits, and nobody asks. */
  get isEmpty(): boolean {
    return this.#waiters.length === 0 && !this.#isHeldUp;
  }

  get #isHeldUp(): boolean {
    return this.#isAsking || this.#callOff !== undefined;
  }

  /** One that is not the first learns only whether its wait is hopeless: too long, or in too long a line. */
  #lineUp(waiter: Waiter): void {
    const told = (decision: Decision): void => {
      if (!waiter.mayWait || (!decision.allowed && this.#isHopeless(waiter, decision))) {
        // What it would be let in for on its own is refused here for those who stand before it.
        const refusal = decision.allowed ? (this.#refusal ?? decision) : decision;
        waiter.leave({ error: new RateLimitExceededError(refusal) });
      } else if (waiter.deadline < Infinity && this.#callOff !== undefined) {
        this.#sleep();
      }
    };
    const failed = (error: unknown): void => {
      waiter.leave({ error });
    };
    answered(() => this.#counter.peek(waiter.cost), told, failed);
  }

  #ask(first: Waiter): void {
    this.#isAsking = true;
    const told = (decision: Decision): void => {
      this.#isAsking = false;
      if (first.hasLeft) {
        // It gave up while the store was answering: what was spent for it is given back.
        giveBack(decision);
      } else if (decision.allowed) {
        first.leave(decision);
      } else if (!first.mayWait || this.#isHopeless(first, decision)) {
        first.leave({ error: new RateLimitExceededError(decision) });
      } else {
        this.#refusal = decision;
        this.#readyAt = this.#counter.clock.now() + decision.retryAfterMs;
        this.#sleep();
        return;
      }
      this.serve();
    };
    const failed = (error: unknown): void => {
      this.#isAsking = false;
      first.leave({ error });
      this.serve();
    };
    answered(() => this.#counter.check(first.cost), told, failed);
  }

  /** Sleeps until the first may ask, or somebody's patience ends. */
  #sleep(): void {
    this.#callOff?.();
    const { clock } = this.#counter;
    const until = this.#waiters.reduce((earliest, { deadline }) => Math.min(earliest, deadline), this.#readyAt);
    this.#callOff = clock.wake(Math.max(0, until - clock.now()), () => {
      this.#callOff = undefined;
      this.#wake();
    });
  }

  #wake(): void {
    const now = this.#counter.clock.now();
    // First the asking: who may pass at the very instant its patience ends, passes.
    if (now >= this.#readyAt) this.serve();
    for (const waiter of [...this.#waiters]) {
      if (waiter.deadline <= now && this.#refusal !== undefined) {
        waiter.leave({ error: new RateLimitExceededError(this.#refusal) });
      }
    }
    if (this.#waiters.length > 0 && !this.#isHeldUp) this.#sleep();
  }

  /** Whether even the first instant the log allows lies behind the end of the waiter's patience. */
  #isHopeless({ deadline }: Waiter, { retryAfterMs }: Decision): boolean {
    return retryAfterMs === Infinity || this.#counter.clock.now() + retryAfterMs > deadline;
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

/**
 * Hands over an answer at once where it is there at once, so that a store in memory is asked in one run. What fails, in the
 * asking or in what becomes of the answer (a clock that cannot be slept by), fails the waiter, and not the line.
 */
function answered<A>(ask: () => A | PromiseLike<A>, then: (answer: A) => void, failed: (error: unknown) => void): void {
  try {
    const answer = ask();
    if (isPromiseLike(answer)) void answer.then(then).then(undefined, failed);
    else then(answer);
  } catch (error) {
    failed(error);
  }
}
