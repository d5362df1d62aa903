import type { Clock } from "../core/clock.js";
import type { Decision } from "../core/decision.js";
import { receiptOf } from "../core/decision.js";
import { RateLimitExceededError } from "../core/errors.js";
import { isPromiseLike } from "../core/mutex.js";
import { warn } from "../core/warn.js";
import { onAbort } from "./abort-watch.js";
import type { Wish } from "./wish.js";

/** What the waiting room needs of its limiter: to ask without telling anybody, and the clock its store goes by. */
export interface Counter<K extends string> {
  readonly check: (key: K, cost: number) => Decision | Promise<Decision>;
  readonly peek: (key: K, cost: number) => Decision | Promise<Decision>;
  readonly clock: Clock & Required<Pick<Clock, "wake">>;
}

interface Waiter {
  readonly cost: number;
  /** Whether it stands in line when it is not let in at once. */
  readonly mayWait: boolean;
  /** When its patience ends, on the clock. */
  readonly deadline: number;
  readonly leave: (outcome: Decision | { readonly error: unknown }) => void;
  hasLeft: boolean;
}

interface Line {
  readonly waiters: Waiter[];
  /** The first has asked and not been answered yet: nobody asks beside it. */
  isAsking: boolean;
  /** The line is being served further up the stack, which goes on by itself. */
  isServed: boolean;
  /** What the first was last told. */
  refusal: Decision | undefined;
  /** When the first is to ask again. */
  readyAt: number;
  /** Calls off the timer; undefined while none runs. */
  callOff: (() => void) | undefined;
}

/**
 * Where those wait who want a turn: one line for each key, first come, first served.
 *
 * Only the first of a line asks. Refused, it sleeps until the instant the refusal named and asks again, because a timer may
 * be early and the place taken meanwhile. One timer for each line; a line whose waiters are gone is gone too.
 */
export class WaitingRoom<in K extends string> {
  readonly #counter: Counter<K>;
  readonly #lines = new Map<string, Line>();

  constructor(counter: Counter<K>) {
    this.#counter = counter;
  }

  /** How many lines there are. */
  get size(): number {
    return this.#lines.size;
  }

  /**
   * Resolves with the decision that admits, or rejects: with the signal's reason, with a `RateLimitExceededError` when the
   * wait would be, or has been, too long, or with what the store rejects with.
   */
  enter(key: K, { cost, signal, timeoutMs, maxQueue }: Wish): Promise<Decision> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted === true) {
        reject(signal.reason);
        return;
      }
      const line = this.#lines.get(key) ?? this.#opened(key);
      const waiter: Waiter = {
        cost,
        mayWait: line.waiters.length < maxQueue,
        deadline: this.#counter.clock.now() + timeoutMs,
        hasLeft: false,
        leave: (outcome) => {
          if (waiter.hasLeft) return;
          waiter.hasLeft = true;
          stopWatching?.();
          if ("error" in outcome) reject(outcome.error);
          else resolve(outcome);
          const place = line.waiters.indexOf(waiter);
          line.waiters.splice(place, 1);
          // The next has not asked yet, and may want less.
          if (place === 0) this.#serve(key, line);
        },
      };
      const stopWatching = signal && onAbort(signal, () => waiter.leave({ error: signal.reason }));
      line.waiters.push(waiter);
      if (line.waiters[0] === waiter) this.#serve(key, line);
      else this.#lineUp(key, line, waiter);
    });
  }

  /** Lets the first of a line ask at once, or of every line: a refund, a reset or a raised limit may have let it in. */
  wake(key?: K): void {
    for (const waiting of key === undefined ? [...this.#lines.keys()] : [key]) {
      const line = this.#lines.get(waiting);
      if (line !== undefined) this.#serve(waiting, line);
    }
  }

  #opened(key: string): Line {
    const line: Line = {
      waiters: [],
      isAsking: false,
      isServed: false,
      refusal: undefined,
      readyAt: -Infinity,
      callOff: undefined,
    };
    this.#lines.set(key, line);
    return line;
  }

  /** One that is not the first learns only whether its wait is hopeless: too long, or in too long a line. */
  #lineUp(key: K, line: Line, waiter: Waiter): void {
    const told = (decision: Decision): void => {
      if (!waiter.mayWait || (!decision.allowed && this.#isHopeless(waiter, decision))) {
        // What it would be let in for on its own is refused here for those who stand before it.
        const refusal = decision.allowed ? (line.refusal ?? decision) : decision;
        waiter.leave({ error: new RateLimitExceededError(refusal) });
      } else if (waiter.deadline < Infinity && line.callOff !== undefined) {
        this.#sleep(key, line);
      }
    };
    const failed = (error: unknown): void => {
      waiter.leave({ error });
    };
    answered(() => this.#counter.peek(key, waiter.cost), told, failed);
  }

  /** Lets one after another ask, until one is to sleep or a store is to answer; then closes a line that is empty. */
  #serve(key: string, line: Line): void {
    if (line.isServed || line.isAsking) return;
    line.isServed = true;
    line.callOff?.();
    line.callOff = undefined;
    // A loop, because thousands may be let in at one instant: each would be some frames deeper on the stack.
    for (let [first] = line.waiters; first !== undefined && !this.#mustWait(line); [first] = line.waiters) {
      this.#ask(key as K, line, first);
    }
    line.isServed = false;
    if (line.waiters.length === 0 && !this.#mustWait(line)) this.#lines.delete(key);
  }

  #mustWait({ isAsking, callOff }: Line): boolean {
    return isAsking || callOff !== undefined;
  }

  #ask(key: K, line: Line, first: Waiter): void {
    line.isAsking = true;
    const told = (decision: Decision): void => {
      line.isAsking = false;
      if (first.hasLeft) {
        // It gave up while the store was answering: what was spent for it is given back.
        this.#giveBack(decision);
      } else if (decision.allowed) {
        first.leave(decision);
      } else if (!first.mayWait || this.#isHopeless(first, decision)) {
        first.leave({ error: new RateLimitExceededError(decision) });
      } else {
        line.refusal = decision;
        line.readyAt = this.#counter.clock.now() + decision.retryAfterMs;
        this.#sleep(key, line);
        return;
      }
      this.#serve(key, line);
    };
    const failed = (error: unknown): void => {
      line.isAsking = false;
      first.leave({ error });
      this.#serve(key, line);
    };
    answered(() => this.#counter.check(key, first.cost), told, failed);
  }

  /** Sleeps until the first may ask, or somebody's patience ends. */
  #sleep(key: K, line: Line): void {
    line.callOff?.();
    const { clock } = this.#counter;
    const until = line.waiters.reduce((earliest, { deadline }) => Math.min(earliest, deadline), line.readyAt);
    line.callOff = clock.wake(Math.max(0, until - clock.now()), () => {
      line.callOff = undefined;
      this.#woken(key, line);
    });
  }

  #woken(key: K, line: Line): void {
    const now = this.#counter.clock.now();
    // First the asking: who may pass at the very instant its patience ends, passes.
    if (now >= line.readyAt) this.#serve(key, line);
    for (const waiter of [...line.waiters]) {
      if (waiter.deadline <= now && line.refusal !== undefined) {
        waiter.leave({ error: new RateLimitExceededError(line.refusal) });
      }
    }
    if (line.waiters.length > 0 && !this.#mustWait(line)) this.#sleep(key, line);
  }

  /** Whether even the first instant the log allows lies behind the end of the waiter's patience. */
  #isHopeless({ deadline }: Waiter, { retryAfterMs }: Decision): boolean {
    return retryAfterMs === Infinity || this.#counter.clock.now() + retryAfterMs > deadline;
  }

  #giveBack(decision: Decision): void {
    const failed = (error: unknown): void => {
      warn("A refund failed; the call of a waiter that gave up stays counted", error);
    };
    answered(
      () => receiptOf(decision)?.refund() ?? false,
      () => undefined,
      failed,
    );
  }
}

/** Hands over an answer at once where it is there at once, so that a store in memory is asked in one run. */
function answered<A>(ask: () => A | PromiseLike<A>, then: (answer: A) => void, failed: (error: unknown) => void): void {
  let answer: A | PromiseLike<A>;
  try {
    answer = ask();
  } catch (error) {
    failed(error);
    return;
  }
  if (isPromiseLike(answer)) void answer.then(then, failed);
  else then(answer);
}
