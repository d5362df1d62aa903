import type { AsyncReceipt } from "../core/decision.js";
import type { Limit } from "../core/limit.js";
import type { BatchItem, AsyncNamespace, KeyState, StoreResult } from "../store/store.js";
import type { BatchEntry } from "./batch.js";
import type { DenyCache, RequestStamp } from "./deny-cache.js";
import type { Fallback } from "./fallback.js";
import type { ScriptRunner } from "./script-runner.js";
import { CircuitOpenError, UnreachableError } from "./script-runner.js";
import type { Reply } from "./reply.js";
import { replyLengthFor, numberIn, numbersIn, replyFrom, replyOf } from "./reply.js";
import { SCRIPT } from "./script.js";

/** What the store does for its namespace. */
export interface NamespaceEvents {
  /** Called when the namespace is first used, with its limits. */
  readonly firstLimits: (limits: readonly Limit[]) => void;
  /** Runs a change of a key, or of all keys, so that no deny cache of the namespace keeps an older denial. */
  readonly whileChanging: <T>(name: string | undefined, change: () => Promise<T>) => Promise<T>;
  readonly closed: () => void;
}

/** One namespace of a `RedisStore`: each method is one run of the script, on one key. */
export class RedisNamespace implements AsyncNamespace {
  readonly #server: ScriptRunner;
  readonly #prefix: string;
  readonly #longest: string;
  readonly #fallback: Fallback;
  readonly #denyCache: DenyCache;
  readonly #events: NamespaceEvents;
  #isClosed = false;
  #limits: readonly Limit[] | undefined;
  #encodedLimits: readonly string[] = [];

  constructor(
    server: ScriptRunner,
    prefix: string,
    periodsMs: readonly number[],
    fallback: Fallback,
    denyCache: DenyCache,
    events: NamespaceEvents,
  ) {
    this.#server = server;
    this.#prefix = prefix;
    this.#longest = String(Math.max(...periodsMs));
    this.#fallback = fallback;
    this.#denyCache = denyCache;
    this.#events = events;
  }

  admit(key: string, limits: readonly Limit[], cost: number): Promise<boolean> {
    const name = this.#keyOf(key);
    if (this.#denyCache.refuses(name, limits, cost)) return Promise.resolve(false);
    const sent = this.#denyCache.stamp(name, cost);
    return this.#run("admit", name, limits, cost).then(
      (reply) => {
        const number = numberIn(reply);
        // 0 means that the call can never pass.
        if (number <= 0) this.#denyCache.store(name, limits, cost, -number || Infinity, undefined, sent);
        else this.#denyCache.admitted(name, cost);
        return number === 1;
      },
      (failure: unknown) => this.#fallback.admit(unreachable(failure), key, limits, cost),
    );
  }

  check(key: string, limits: readonly Limit[], cost: number): Promise<StoreResult> {
    const name = this.#keyOf(key);
    const denied = this.#denyCache.resultOf(name, limits, cost);
    if (denied !== undefined) return Promise.resolve(denied);
    const sent = this.#denyCache.stamp(name, cost);
    return this.#run("check", name, limits, cost).then(
      (reply) => this.#checked(replyOf(reply, limits), name, limits, cost, sent),
      (failure: unknown) => this.#fallback.check(unreachable(failure), key, limits, cost),
    );
  }

  peek(key: string, limits: readonly Limit[], cost: number): Promise<StoreResult> {
    const name = this.#keyOf(key);
    return this.#run("peek", name, limits, cost).then(
      (reply) => this.#result(replyOf(reply, limits), name, 0),
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

  /** Rejects if Redis is unreachable, whatever `whenDown` is: its keys would still be refused. */
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

  /** The part of a key in a batch. */
  batchEntry({ key, limits, cost, mayRefuse }: Omit<BatchItem, "namespace">): BatchEntry {
    const name = this.#keyOf(key);
    let sent: RequestStamp;
    return {
      server: this.#server,
      name,
      mayRefuse,
      args: () => {
        sent = this.#denyCache.stamp(name, cost);
        return this.#argsFor(limits, cost);
      },
      replyLength: replyLengthFor(limits),
      cachedDenial: () => this.#denyCache.resultOf(name, limits, cost),
      parse: (numbers, start, isRecorded) =>
        this.#checked(replyFrom(numbers, limits, start), name, limits, cost, sent, isRecorded),
      fallback: (failure) => ({
        check: (...args) => this.#fallback.check(failure, ...args),
      }),
    };
  }

  #run(verb: string, name: string, limits: readonly Limit[], cost: number): Promise<unknown> {
    return this.#server.run(SCRIPT, [name], [verb, ...this.#argsFor(limits, cost)]);
  }

  #argsFor(limits: readonly Limit[], cost: number): readonly string[] {
    return [this.#longest, String(cost), ...this.#limitArgs(limits)];
  }

  /** The limits as arguments of the script. A limiter passes the same array until its limits change. */
  #limitArgs(limits: readonly Limit[]): readonly string[] {
    if (limits !== this.#limits) {
      if (this.#limits === undefined) this.#events.firstLimits(limits);
      this.#limits = limits;
      this.#encodedLimits = limits.flatMap(({ maxCalls, periodMs }) => [String(maxCalls), String(periodMs)]);
    }
    return this.#encodedLimits;
  }

  #keyOf(key: string): string {
    // UTF-8 has no lone surrogates: keys that differ only in them would become one key.
    const isEscaped = LONE_SURROGATE.test(key) || key.startsWith(ESCAPED);
    return this.#prefix + (isEscaped ? ESCAPED + JSON.stringify(key) : key);
  }

  /** The result of a check. A denial is cached. */
  #checked(
    reply: Reply,
    name: string,
    limits: readonly Limit[],
    cost: number,
    sent: RequestStamp,
    isRecorded = true,
  ): StoreResult {
    const result = this.#result(reply, name, isRecorded ? cost : 0);
    const { retryAfterMs } = result;
    if (retryAfterMs > 0) this.#denyCache.store(name, limits, cost, retryAfterMs, result, sent);
    else this.#denyCache.admitted(name, cost);
    return result;
  }

  #result({ passed, epoch, timestamp, layers }: Reply, name: string, spent: number): StoreResult {
    return {
      retryAfterMs: layers.reduce((wait, layer) => Math.max(wait, layer.retryAfterMs), 0),
      resetAfterMs: layers.reduce((quiet, layer) => Math.max(quiet, layer.resetAfterMs), 0),
      layers,
      noRoom: false,
      source: "redis",
      receipt: passed && spent > 0 ? this.#receipt(name, epoch, timestamp, spent) : undefined,
    };
  }

  #receipt(name: string, epoch: number, timestamp: number, cost: number): AsyncReceipt {
    let isRefunded = false;
    return {
      refund: async () => {
        if (isRefunded) return false;
        // Before the reply: a refund that was sent may have been done, even if no reply arrives.
        isRefunded = true;
        const args = ["refund", this.#longest, String(epoch), String(timestamp), String(cost)];
        try {
          return numberIn(await this.#events.whileChanging(name, () => this.#server.run(SCRIPT, [name], args))) > 0;
        } catch (error) {
          if (error instanceof CircuitOpenError) isRefunded = false;
          throw error;
        }
      },
    };
  }
}

const ESCAPED = "\0utf-16:";
const LONE_SURROGATE = /[\ud800-\udfff]/u;

/** A failure that the fallback handles. Any other failure is thrown. */
function unreachable(failure: unknown): UnreachableError {
  if (failure instanceof UnreachableError) return failure;
  throw failure;
}
