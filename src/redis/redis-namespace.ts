import type { AsyncReceipt } from "../core/decision.js";
import type { Limit } from "../core/limit.js";
import type { BatchItem, AsyncNamespace, KeyState, StoreResult } from "../store/store.js";
import type { BatchEntry } from "./batch.js";
import type { DenyCache, RequestStamp } from "./deny-cache.js";
import type { Fallback } from "./fallback.js";
import type { ScriptRunner } from "./script-runner.js";
import { CircuitOpenError, UnreachableError } from "./script-runner.js";
import type { Reply } from "./reply.js";
import { amountFor, numberIn, numbersIn, replyFrom, replyOf } from "./reply.js";
import { SCRIPT } from "./script.js";

/** What the store of a space does when something happens to it. */
export interface NamespaceEvents {
  /** The space is used for the first time, with these limits. */
  readonly firstLimits: (limits: readonly Limit[]) => void;
  /** Runs a change of a key, or of all keys, so that no cache of denials of the namespace outdates it. */
  readonly whileChanging: <T>(name: string | undefined, change: () => Promise<T>) => Promise<T>;
  readonly closed: () => void;
}

/** One space of a `RedisStore`: each verb is one run of the script, on one key. */
export class RedisNamespace implements AsyncNamespace {
  readonly #server: ScriptRunner;
  readonly #prefix: string;
  readonly #longest: string;
  readonly #fallback: Fallback;
  readonly #denials: DenyCache;
  readonly #events: NamespaceEvents;
  #isClosed = false;
  #limits: readonly Limit[] | undefined;
  #words: readonly string[] = [];

  constructor(
    server: ScriptRunner,
    prefix: string,
    periodsMs: readonly number[],
    fallback: Fallback,
    denials: DenyCache,
    events: NamespaceEvents,
  ) {
    this.#server = server;
    this.#prefix = prefix;
    this.#longest = String(Math.max(...periodsMs));
    this.#fallback = fallback;
    this.#denials = denials;
    this.#events = events;
  }

  admit(key: string, limits: readonly Limit[], cost: number): Promise<boolean> {
    const name = this.#keyOf(key);
    if (this.#denials.refuses(name, limits, cost)) return Promise.resolve(false);
    const sending = this.#denials.sending(name, cost);
    return this.#ask("admit", name, limits, cost).then(
      (reply) => {
        const answer = numberIn(reply);
        // 0 is a refusal for ever.
        if (answer <= 0) this.#denials.note(name, limits, cost, -answer || Infinity, undefined, sending);
        else this.#denials.admitted(name, cost);
        return answer === 1;
      },
      (failure: unknown) => this.#fallback.admit(unreachable(failure), key, limits, cost),
    );
  }

  check(key: string, limits: readonly Limit[], cost: number): Promise<StoreResult> {
    const name = this.#keyOf(key);
    const denied = this.#denials.verdictOn(name, limits, cost);
    if (denied !== undefined) return Promise.resolve(denied);
    const sending = this.#denials.sending(name, cost);
    return this.#ask("check", name, limits, cost).then(
      (reply) => this.#checked(replyOf(reply, limits), name, limits, cost, sending),
      (failure: unknown) => this.#fallback.check(unreachable(failure), key, limits, cost),
    );
  }

  peek(key: string, limits: readonly Limit[], cost: number): Promise<StoreResult> {
    const name = this.#keyOf(key);
    return this.#ask("peek", name, limits, cost).then(
      (reply) => this.#verdict(replyOf(reply, limits), name, 0),
      (failure: unknown) => this.#fallback.peek(unreachable(failure), key, limits, cost),
    );
  }

  state(key: string): Promise<KeyState> {
    return this.#server.run(SCRIPT, [this.#keyOf(key)], ["state", this.#longest]).then(
      (reply) => {
        const [calls = 0, lastReset = 0] = numbersIn(reply, 2);
        return { calls, lastReset };
      },
      (failure: unknown) => this.#fallback.state(unreachable(failure), key),
    );
  }

  /** What could not be forgotten in Redis is an error, and not a matter of `whenDown`: somebody is still locked out. */
  async reset(key?: string): Promise<void> {
    await this.#fallback.reset(key);
    const name = key === undefined ? undefined : this.#keyOf(key);
    await this.#events.whileChanging(name, () =>
      name === undefined ? this.#server.deleteByPrefix(this.#prefix) : this.#server.deleteKey(name),
    );
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#events.closed();
  }

  /** A key's share in a call about several. */
  share({ key, limits, cost, mayRefuse }: Omit<BatchItem, "namespace">): BatchEntry {
    const name = this.#keyOf(key);
    let sending: RequestStamp;
    return {
      server: this.#server,
      name,
      mayRefuse,
      words: () => {
        sending = this.#denials.sending(name, cost);
        return this.#question(limits, cost);
      },
      amount: amountFor(limits),
      denial: () => this.#denials.verdictOn(name, limits, cost),
      verdict: (numbers, start, isRecorded) =>
        this.#checked(replyFrom(numbers, limits, start), name, limits, cost, sending, isRecorded),
      instead: (failure) => ({
        check: (...asked) => this.#fallback.check(failure, ...asked),
      }),
    };
  }

  #ask(verb: string, name: string, limits: readonly Limit[], cost: number): Promise<unknown> {
    return this.#server.run(SCRIPT, [name], [verb, ...this.#question(limits, cost)]);
  }

  #question(limits: readonly Limit[], cost: number): readonly string[] {
    return [this.#longest, String(cost), ...this.#wordsOf(limits)];
  }

  /** The limits as the script wants them. A limiter hands over the same array for as long as they are the same. */
  #wordsOf(limits: readonly Limit[]): readonly string[] {
    if (limits !== this.#limits) {
      if (this.#limits === undefined) this.#events.firstLimits(limits);
      this.#limits = limits;
      this.#words = limits.flatMap(({ maxCalls, periodMs }) => [String(maxCalls), String(periodMs)]);
    }
    return this.#words;
  }

  #keyOf(key: string): string {
    // UTF-8 has no lone surrogates, and would make one key of all that differ in them only.
    const isSpelled = LONE_SURROGATE.test(key) || key.startsWith(SPELLED);
    return this.#prefix + (isSpelled ? SPELLED + JSON.stringify(key) : key);
  }

  /** What a check came to. A denial is noted. */
  #checked(
    reply: Reply,
    name: string,
    limits: readonly Limit[],
    cost: number,
    sending: RequestStamp,
    isRecorded = true,
  ): StoreResult {
    const verdict = this.#verdict(reply, name, isRecorded ? cost : 0);
    const { retryAfterMs } = verdict;
    if (retryAfterMs > 0) this.#denials.note(name, limits, cost, retryAfterMs, verdict, sending);
    else this.#denials.admitted(name, cost);
    return verdict;
  }

  #verdict({ passed, epoch, stamp, layers }: Reply, name: string, spent: number): StoreResult {
    return {
      retryAfterMs: layers.reduce((wait, layer) => Math.max(wait, layer.retryAfterMs), 0),
      resetAfterMs: layers.reduce((quiet, layer) => Math.max(quiet, layer.resetAfterMs), 0),
      layers,
      noRoom: false,
      source: "redis",
      receipt: passed && spent > 0 ? this.#receipt(name, epoch, stamp, spent) : undefined,
    };
  }

  #receipt(name: string, epoch: number, stamp: number, cost: number): AsyncReceipt {
    let isRefunded = false;
    return {
      refund: async () => {
        if (isRefunded) return false;
        // Before it is known to have worked: a refund that was sent may have been done, whatever becomes of the answer.
        isRefunded = true;
        const words = ["refund", this.#longest, String(epoch), String(stamp), String(cost)];
        try {
          return numberIn(await this.#events.whileChanging(name, () => this.#server.run(SCRIPT, [name], words))) > 0;
        } catch (error) {
          if (error instanceof CircuitOpenError) isRefunded = false;
          throw error;
        }
      },
    };
  }
}

const SPELLED = "\0utf-16:";
const LONE_SURROGATE = /[\ud800-\udfff]/u;

/** The failure that somebody else is to answer for. Any other is passed on. */
function unreachable(failure: unknown): UnreachableError {
  if (failure instanceof UnreachableError) return failure;
  throw failure;
}
