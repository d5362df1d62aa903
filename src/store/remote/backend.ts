import type { LayerStatus, Source } from "../../core/decision.js";
import { StoreError } from "../../core/errors.js";
import type { Limit } from "../../core/limit.js";
import type { LockPolicy } from "../../core/locks.js";
import type { KeyState, LockStatus } from "../store.js";

/**
 * A server that keeps logs, as a {@link RemoteStore} uses it: one of these is a new store. The store adds the deadline, the
 * circuit breaker, the deny cache and the fallback.
 */
export interface Backend {
  /** What errors and warnings call the server. Example: `"Redis"`. */
  readonly name: string;
  /** The source of its decisions. */
  readonly source: Source;

  /**
   * Executes calls, each alone and atomically, in their order; in one round trip if possible.
   *
   * @param isLate - returns true once no caller waits for the replies: nothing must be sent again then.
   * @returns the reply to each call: one of {@link Replies}, or an `Error` if that call failed and recorded nothing. Rejects if
   *   the fate of the calls is unknown, or none was executed.
   */
  execute(calls: readonly RemoteCall[], isLate: () => boolean): Promise<readonly unknown[]>;

  /** Keys with different groups are on different servers: one `execute` cannot have both. */
  groupOf(key: string): string;

  /** Removes one key. `isLate` is that of {@link execute}. */
  deleteKey(key: string, isLate: () => boolean): Promise<unknown>;

  /**
   * Removes all keys that begin with `prefix`, in steps that leave the server time for other clients.
   *
   * @param request - sends the request of one step, within the deadline.
   */
  deleteAll(prefix: string, request: Request): Promise<void>;

  /** Classifies an error with which `execute` rejected, or which is the reply to one call. */
  failureOf(cause: unknown): Failure;

  /** Describes an error without quoting its message, which may contain a key. */
  reasonInWords(cause: unknown): string;
}

/** Sends a request within the deadline, if the circuit is closed. */
export type Request = <T>(send: (isLate: () => boolean) => Promise<T>) => Promise<T>;

/** What an error means for the call. */
export interface Failure {
  /** What the caller gets, unless the fallback decides: it does for an {@link UnreachableError}. */
  readonly error: StoreError;
  /** Whether the server is down, and not just unable to execute this call: it counts for the circuit breaker. */
  readonly isOutage: boolean;
  /** Whether none of the calls was executed, though each alone may be: their keys are not on one server, for example. */
  readonly isUnexecuted: boolean;
}

/** The server did not reply, or could not decide: the fallback of `whenDown` decides. */
export class UnreachableError extends StoreError {}

/** Nothing was sent, so nothing was recorded. */
export class CircuitOpenError extends UnreachableError {}

/** The keys of the calls are not on one server at present: nothing was recorded, and each can be checked separately. */
export class CrossSlotError extends StoreError {}

/** A call on one key, or on several at once. */
export type RemoteCall = DecisionCall | StateCall | RefundCall | LockCall | UnlockCall | AllCall;

/** What every call on one key has. */
interface KeyCall {
  /** The key, with the prefix of the store and the namespace. */
  readonly key: string;
  /** The longest period of the namespace: younger timestamps are kept. */
  readonly longestMs: number;
  /** The lock policy of the namespace; undefined if it has none, and so no strikes. */
  readonly locks: LockPolicy | undefined;
}

/** `admit`, `check` or `peek` of an `AsyncNamespace`. */
export interface DecisionCall extends KeyCall {
  readonly method: "admit" | "check" | "peek";
  /** A limiter passes the same array until its limits change. */
  readonly limits: readonly Limit[];
  readonly cost: number;
  /** Whether the refusal of `admit` or `check` can be a strike: if there is a lock policy. */
  readonly mayStrike: boolean;
}

/** `state` of an `AsyncNamespace`. */
export interface StateCall extends KeyCall {
  readonly method: "state";
}

/** Removes what one call recorded. */
export interface RefundCall extends KeyCall {
  readonly method: "refund";
  readonly recorded: Recorded;
}

/** `lock` of an `AsyncNamespace`. */
export interface LockCall extends KeyCall {
  readonly method: "lock";
  readonly ms: number;
}

/** `unlock` of an `AsyncNamespace`, or `reset` of one key if it has one lock only. */
export interface UnlockCall extends KeyCall {
  readonly method: "unlock" | "reset";
  /** The end of the lock that the key must have, or `null` for no lock; undefined for any. */
  readonly lockedUntil: number | null | undefined;
}

/**
 * Checks several keys, all or nothing: if no key that may refuse does, the call is recorded in each key that allows it. A refusal
 * is a strike as `checkBatch` of an `AsyncStore` defines it.
 */
export interface AllCall {
  readonly method: "all";
  /** In the order of the caller, no key twice. */
  readonly members: readonly AllMember[];
}

/** One key of an {@link AllCall}. */
export interface AllMember extends Omit<DecisionCall, "method"> {
  /** Whether its refusal refuses the whole call. */
  readonly mayRefuse: boolean;
}

/** The reply to each kind of call. */
export interface Replies {
  readonly admit: AdmitReply;
  readonly check: DecisionReply;
  readonly peek: DecisionReply;
  readonly state: KeyState;
  /** Whether anything was removed. */
  readonly refund: boolean;
  /** `true`. */
  readonly lock: boolean;
  /** Whether a lock or strikes were removed. */
  readonly unlock: boolean;
  /** False if the key has another lock. */
  readonly reset: boolean;
  readonly all: AllReply;
}

/** The short form of a {@link DecisionReply}. */
export interface AdmitReply {
  /** Milliseconds until the call may be admitted, at the earliest: 0 if it was, `Infinity` for never. */
  readonly retryAfterMs: number;
  /** Milliseconds until the lock of the key ends; 0 if it is not locked after the call. */
  readonly lockedForMs: number;
}

/** What was recorded, and the status of each limit. */
export interface DecisionReply {
  readonly passed: boolean;
  /** Identifies the log of the key: a later log of the same key has another epoch. */
  readonly epoch: number;
  /** The newest timestamp of the log: that of the call, if it was recorded. */
  readonly timestamp: number;
  readonly layers: readonly LayerStatus[];
  /** The lock and the strikes of the key after the call; undefined if it has neither. */
  readonly lock: LockStatus | undefined;
}

/** The reply to an {@link AllCall}. */
export interface AllReply {
  /** Whether the call passed, so that it is recorded in each key that allows it. */
  readonly isRecorded: boolean;
  /** In the order of the members. */
  readonly members: readonly DecisionReply[];
}

/** What a call recorded in the log of its key. */
export interface Recorded {
  readonly epoch: number;
  readonly timestamp: number;
  readonly cost: number;
}
