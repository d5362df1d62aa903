import type { AsyncReceipt } from "../../core/decision.js";
import type { Limit } from "../../core/limit.js";
import type { LockPolicy } from "../../core/locks.js";
import type { BatchItem, AsyncNamespace, KeyState, StoreResult } from "../store.js";
import type { AllMember, DecisionCall, DecisionReply, Recorded } from "./backend.js";
import { CircuitOpenError, UnreachableError } from "./backend.js";
import type { BatchEntry } from "./check-batch.js";
import type { DenyCache, RequestStamp } from "./deny-cache.js";
import type { Fallback } from "./fallback.js";
import type { GuardedBackend } from "./guarded-backend.js";

/** The key of a call, with what its namespace adds. */
type KeyTerms = Pick<DecisionCall, "key" | "longestMs" | "locks">;

/** What the store does for its namespace. */
export interface NamespaceEvents {
  /** Called when the namespace is first used, with its limits. */
  readonly firstLimits: (limits: readonly Limit[]) => void;
  /** Runs a change of a key, or of all keys, so that no deny cache of the namespace keeps an older denial. */
  readonly whileChanging: <T>(name: string | undefined, change: () => Promise<T>) => Promise<T>;
  readonly closed: () => void;
}

/** One namespace of a remote store: each method is one call of the backend, on one key. */
export class RemoteNamespace implements AsyncNamespace {
  readonly #server: GuardedBackend;
  readonly #prefix: string;
  readonly #longestMs: number;
  readonly #locks: LockPolicy | undefined;
  readonly #fallback: Fallback;
  readonly #denyCache: DenyCache;
  readonly #events: NamespaceEvents;
  #isClosed = false;
  #isUsed = false;

  constructor(
    server: GuardedBackend,
    prefix: string,
    periodsMs: readonly number[],
    locks: LockPolicy | undefined,
    fallback: Fallback,
    denyCache: DenyCache,
    events: NamespaceEvents,
  ) {
    this.#server = server;
    this.#prefix = prefix;
    this.#longestMs = Math.max(...periodsMs);
    this.#locks = locks;
    this.#fallback = fallback;
    this.#denyCache = denyCache;
    this.#events = events;
  }

  admit(key: string, limits: readonly Limit[], cost: number): Promise<boolean> {
    const name = this.#keyOf(key);
    if (this.#denyCache.refuses(name, limits, cost, this.#mayStrike(limits, cost))) return Promise.resolve(false);
    const sent = this.#denyCache.stamp(name, cost);
    return this.#server.run(this.#call("admit", name, limits, cost)).then(
      (wait) => {
        const isAdmitted = wait.retryAfterMs === 0;
        if (isAdmitted) this.#denyCache.admitted(name, cost);
        else this.#denyCache.store(name, limits, cost, wait, undefined, sent);
        return isAdmitted;
      },
      (failure: unknown) => this.#fallback.admit(this.#unreachable(failure), key, limits, cost),
    );
  }

  check(key: string, limits: readonly Limit[], cost: number, mayStrike: boolean = true): Promise<StoreResult> {
    const name = this.#keyOf(key);
    const denied = this.#denyCache.resultOf(name, limits, cost, mayStrike && this.#mayStrike(limits, cost));
    if (denied !== undefined) return Promise.resolve(denied);
    const sent = this.#denyCache.stamp(name, cost);
    return this.#server.run(this.#call("check", name, limits, cost, mayStrike)).then(
      (reply) => this.#checked(reply, name, limits, cost, sent),
      (failure: unknown) => this.#fallback.check(this.#unreachable(failure), key, limits, cost, mayStrike),
    );
  }

  peek(key: string, limits: readonly Limit[], cost: number): Promise<StoreResult> {
    const name = this.#keyOf(key);
    return this.#server.run(this.#call("peek", name, limits, cost)).then(
      (reply) => this.#result(reply, name, 0),
      (failure: unknown) => this.#fallback.peek(this.#unreachable(failure), key, limits, cost),
    );
  }

  state(key: string): Promise<KeyState> {
    return this.#server
      .run({ method: "state", ...this.#ofKey(this.#keyOf(key)) })
      .catch((failure: unknown) => this.#fallback.state(this.#unreachable(failure), key));
  }

  /** Rejects if the server is unreachable, whatever `whenDown` is: other processes would not know of the lock. */
  async lock(key: string, ms: number): Promise<void> {
    await this.#change(this.#keyOf(key), (own) => this.#server.run({ method: "lock", ...own, ms }));
  }

  /** Rejects as {@link lock} does. */
  async unlock(key: string, lockedUntil?: number | null): Promise<boolean> {
    // The fallback has other locks than the server.
    const isUnlocked = lockedUntil === undefined && (await this.#fallback.unlock(key));
    const unlock = (own: KeyTerms): Promise<boolean> => this.#server.run({ method: "unlock", ...own, lockedUntil });
    return (await this.#change(this.#keyOf(key), unlock)) || isUnlocked;
  }

  /** Rejects if the server is unreachable, whatever `whenDown` is: its keys would still be refused. */
  async reset(key?: string, lockedUntil?: number | null): Promise<boolean> {
    if (lockedUntil === undefined) await this.#fallback.reset(key);
    else if (key !== undefined) {
      return this.#change(this.#keyOf(key), (own) => this.#server.run({ method: "reset", ...own, lockedUntil }));
    }
    const name = key === undefined ? undefined : this.#keyOf(key);
    await this.#events.whileChanging(name, () =>
      name === undefined ? this.#server.deleteAll(this.#prefix) : this.#server.deleteKey(name),
    );
    return true;
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#events.closed();
  }

  /** The part of a key in a batch. */
  batchEntry({ key, limits, cost, mayRefuse }: Omit<BatchItem, "namespace">): BatchEntry {
    const name = this.#keyOf(key);
    const member: AllMember = { ...this.#call("check", name, limits, cost), mayRefuse };
    const mayStrike = this.#mayStrike(limits, cost);
    let sent: RequestStamp;
    return {
      server: this.#server,
      member,
      willSend: () => {
        sent = this.#denyCache.stamp(name, cost);
      },
      cachedDenial: () => this.#denyCache.resultOf(name, limits, cost, mayStrike),
      mayStrike,
      resultOf: (reply, isRecorded) => this.#checked(reply, name, limits, cost, sent, isRecorded),
      fallback: (failure) => ({
        check: (...args) => this.#fallback.check(failure, ...args),
      }),
    };
  }

  /** Reports a failure, and returns it if the fallback handles it. Any other failure is thrown. */
  #unreachable(failure: unknown): UnreachableError {
    this.#server.reportFailure(failure);
    if (failure instanceof UnreachableError) return failure;
    throw failure;
  }

  #call<M extends DecisionCall["method"]>(
    method: M,
    key: string,
    limits: readonly Limit[],
    cost: number,
    mayStrike: boolean = true,
  ): DecisionCall & { readonly method: M } {
    if (!this.#isUsed) {
      this.#isUsed = true;
      this.#events.firstLimits(limits);
    }
    return { method, ...this.#ofKey(key), limits, cost, mayStrike };
  }

  #ofKey(key: string): KeyTerms {
    return { key, longestMs: this.#longestMs, locks: this.#locks };
  }

  /** Whether the refusal of a call may be a strike. One that the full limits never allow is none. */
  #mayStrike(limits: readonly Limit[], cost: number): boolean {
    return this.#locks !== undefined && limits.every(({ maxCalls, reducedFrom }) => cost <= (reducedFrom ?? maxCalls));
  }

  /** Runs a call that changes a key, so that no older denial of it is kept. */
  #change<T>(key: string, run: (own: KeyTerms) => Promise<T>): Promise<T> {
    return this.#events.whileChanging(key, async () => {
      try {
        return await run(this.#ofKey(key));
      } catch (failure) {
        this.#server.reportFailure(failure);
        throw failure;
      }
    });
  }

  #keyOf(key: string): string {
    // UTF-8 has no lone surrogates: keys that differ only in them would become one key.
    const isEscaped = LONE_SURROGATE.test(key) || key.startsWith(ESCAPED);
    return this.#prefix + (isEscaped ? ESCAPED + JSON.stringify(key) : key);
  }

  /** The result of a check. A denial is cached. */
  #checked(
    reply: DecisionReply,
    name: string,
    limits: readonly Limit[],
    cost: number,
    sent: RequestStamp,
    isRecorded = true,
  ): StoreResult {
    const result = this.#result(reply, name, isRecorded ? cost : 0);
    const { retryAfterMs, lock } = result;
    if (retryAfterMs === 0) this.#denyCache.admitted(name, cost);
    else this.#denyCache.store(name, limits, cost, { retryAfterMs, lockedForMs: lock?.lockedForMs ?? 0 }, result, sent);
    return result;
  }

  #result({ passed, epoch, timestamp, layers, lock }: DecisionReply, name: string, spent: number): StoreResult {
    return {
      retryAfterMs: layers.reduce((wait, layer) => Math.max(wait, layer.retryAfterMs), lock?.lockedForMs ?? 0),
      resetAfterMs: layers.reduce((quiet, layer) => Math.max(quiet, layer.resetAfterMs), 0),
      layers,
      lock,
      noRoom: false,
      source: this.#server.backend.source,
      receipt: passed && spent > 0 ? this.#receipt(name, { epoch, timestamp, cost: spent }) : undefined,
    };
  }

  #receipt(key: string, recorded: Recorded): AsyncReceipt {
    let isRefunded = false;
    return {
      refund: async () => {
        if (isRefunded) return false;
        // Before the reply: a refund that was sent may have been done, even if no reply arrives.
        isRefunded = true;
        try {
          return await this.#change(key, (own) => this.#server.run({ method: "refund", ...own, recorded }));
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
