import { monotonicClock } from "../../core/clock.js";
import type { StoreError } from "../../core/errors.js";
import type { Backend, Failure, RemoteCall } from "./backend.js";
import { CircuitOpenError } from "./backend.js";
import { CircuitBreaker } from "./circuit-breaker.js";
import { Deadline } from "./deadline.js";

/** Present in Node, Bun and Deno, but not on every edge. */
declare const setImmediate: ((run: () => void) => unknown) | undefined;
declare const navigator: { readonly userAgent?: unknown } | undefined;
/** Present in all runtimes, but not declared by ES2022. */
declare function queueMicrotask(run: () => void): void;

/**
 * The most keys of one run, so that it holds the server for less than half a millisecond: a check costs Redis 2 to 7 us, and up to
 * 9 us in logs of 10,000 timestamps. Twice as many keys would save 5% of the time of the server. A cost above 250 takes longer, and
 * as long alone: to weigh calls by their cost made no other client wait less.
 */
const MOST_KEYS = 48;

/** No reply arrived within the timeout of the store. */
export class LateReplyError extends Error {
  readonly timeoutMs: number;

  constructor(server: string, timeoutMs: number) {
    super(`${server} did not reply within ${timeoutMs} ms`);
    this.timeoutMs = timeoutMs;
  }
}

/** Called with each failure of a request, before it is rejected with it. */
export type Report = (failure: StoreError) => void;

/** A call that was not sent yet, or whose reply has not arrived. */
interface Entry {
  readonly call: RemoteCall;
  readonly prefix: string;
  readonly resolve: (reply: unknown) => void;
  readonly reject: (failure: StoreError) => void;
}

/**
 * Sends the calls of all stores of one client that have one timeout, with its deadline and one circuit breaker.
 *
 * A call is sent at once if none is under way. Otherwise it waits for the end of the turn of the event loop, and is executed in one
 * run with the other calls of that turn that have the same key prefix: a permission may depend on it.
 */
export class Batcher {
  readonly #backend: Backend;
  readonly #deadline: Deadline;
  readonly #breaker = new CircuitBreaker(monotonicClock);
  #waiting: Entry[] = [];
  /** The number of runs that are under way. */
  #running = 0;

  constructor(backend: Backend, timeoutMs: number) {
    this.#backend = backend;
    this.#deadline = new Deadline(timeoutMs, () => new LateReplyError(backend.name, timeoutMs));
  }

  /**
   * Executes a call. Rejects with the error of {@link Backend.failureOf}, or with a `CircuitOpenError`.
   *
   * @param prefix - the key prefix of the store.
   */
  run(call: RemoteCall, prefix: string): Promise<unknown> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ call, prefix, resolve, reject });
      if (this.#waiting.length > 1) return;
      if (this.#running === 0) this.flush();
      else afterTurn(() => this.flush());
    });
  }

  /** Sends the waiting calls: what is sent afterwards must not overtake them. */
  flush(): void {
    const entries = this.#waiting;
    this.#waiting = [];
    if (entries.length === 1) return this.#send(entries);
    const runs = new Map<string, { entries: Entry[]; keys: number }>();
    for (const entry of entries) {
      const { call, prefix } = entry;
      const members = call.method === "all" ? call.members : [call];
      const [first] = members;
      const keys = members.length;
      const group = prefix + this.#backend.groupOf((first as { readonly key: string }).key);
      const open = runs.get(group);
      if (open !== undefined && open.keys + keys <= MOST_KEYS) {
        open.entries.push(entry);
        open.keys += keys;
        continue;
      }
      if (open !== undefined) this.#send(open.entries);
      runs.set(group, { entries: [entry], keys });
    }
    for (const run of runs.values()) this.#send(run.entries);
  }

  /** Sends a request of another kind, within the deadline and if the circuit is closed. */
  request<T>(send: (isLate: () => boolean) => Promise<T>, report: Report): Promise<T> {
    const pass = this.#breaker.admit();
    if (pass === undefined) return Promise.reject(this.#circuitOpen());
    return this.#deadline.over(send).then(
      (reply) => {
        this.#breaker.succeeded(pass);
        return reply;
      },
      (cause: unknown) => {
        const { error, isOutage } = this.#backend.failureOf(cause);
        if (isOutage) this.#breaker.failed(pass, cause);
        else this.#breaker.succeeded(pass);
        report(error);
        throw error;
      },
    );
  }

  #send(entries: readonly Entry[]): void {
    const pass = this.#breaker.admit();
    if (pass === undefined) {
      for (const { reject } of entries) reject(this.#circuitOpen());
      return;
    }
    this.#running += 1;
    const calls = entries.map(({ call }) => call);
    this.#deadline
      .over((isLate) => this.#execute(calls, isLate))
      .then(
        (replies) => this.#settle(entries, replies, pass),
        (cause: unknown) => this.#settle(entries, new Array<Failed>(entries.length).fill(new Failed(cause)), pass),
      );
  }

  #execute(calls: readonly RemoteCall[], isLate: () => boolean): Promise<readonly unknown[]> {
    const replies = this.#backend.execute(calls, isLate);
    if (calls.length === 1) return replies;
    return replies.catch(async (cause: unknown) => {
      if (isLate() || !this.#backend.failureOf(cause).isUnexecuted) throw cause;
      // Each call alone, once: only together they cannot be executed.
      const outcomes = await Promise.allSettled(calls.map(async (call) => this.#backend.execute([call], isLate)));
      return outcomes.map((outcome) =>
        outcome.status === "fulfilled" ? outcome.value[0] : new Failed(outcome.reason),
      );
    });
  }

  #settle(entries: readonly Entry[], replies: readonly unknown[], pass: number): void {
    this.#running -= 1;
    const failures: { readonly entry: Entry; readonly cause: unknown; readonly failure: Failure }[] = [];
    for (const [at, entry] of entries.entries()) {
      const reply = replies[at];
      if (!(reply instanceof Error || reply instanceof Failed)) {
        entry.resolve(reply);
        continue;
      }
      const cause = reply instanceof Failed ? reply.cause : reply;
      failures.push({ entry, cause, failure: this.#backend.failureOf(cause) });
    }
    const outages = failures.filter(({ failure }) => failure.isOutage);
    if (outages.length > 0) this.#breaker.failed(pass, outages[0]?.cause, outages.length);
    else this.#breaker.succeeded(pass);
    for (const { entry, failure } of failures) entry.reject(failure.error);
  }

  #circuitOpen(): CircuitOpenError {
    const message = `The circuit breaker is open: no command is sent to ${this.#backend.name}, because it did not reply`;
    return new CircuitOpenError(message, { cause: this.#breaker.cause });
  }
}

/** The error of a call: clients may reject with any value. */
class Failed {
  readonly cause: unknown;

  constructor(cause: unknown) {
    this.cause = cause;
  }
}

/**
 * On an edge, calls of several requests must not travel together: Cloudflare Workers cancels a request that waits for the I/O of
 * another. No other request runs before the microtasks of one have ended.
 */
function afterTurn(run: () => void): void {
  const isWorker = typeof navigator === "object" && navigator.userAgent === "Cloudflare-Workers";
  if (typeof setImmediate === "function" && !isWorker) setImmediate(run);
  else queueMicrotask(run);
}
