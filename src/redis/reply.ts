import type { LayerStatus } from "../core/decision.js";
import { StoreError } from "../core/errors.js";
import { memberOf } from "../core/validate.js";
import type { Limit } from "../core/limit.js";
import type { AllMember, AllReply, DecisionReply, RemoteCall, Replies } from "../store/remote/backend.js";

/** The count of numbers before the layers, of each layer, and of a lock behind them. */
const COMMON = 4;
const PER_LAYER = 3;
const OF_LOCK = 3;

/**
 * Parses the reply to one run of the script: the reply to each call, or the `Error` of one that failed.
 *
 * @throws StoreError for a reply that the script cannot have sent.
 */
export function repliesOf(reply: unknown, calls: readonly RemoteCall[]): readonly unknown[] {
  const [first] = calls;
  if (first !== undefined && calls.length === 1 && first.method !== "all") return [replyOf(reply, first)];
  const replies = String(reply).split("\n");
  if (replies.length !== calls.length) throw unreadable(reply);
  return calls.map((call, at) => {
    const own = replies[at] as string;
    return own.startsWith("!") ? new Error(own.slice(1)) : replyOf(own, call);
  });
}

function replyOf(reply: unknown, call: RemoteCall): Replies[RemoteCall["method"]] {
  switch (call.method) {
    case "admit": {
      const [number = 0, lockedForMs = 0] = numbersIn(reply, 1, 1);
      // 0 means that the call can never pass.
      return { retryAfterMs: number > 0 ? 0 : -number || Infinity, lockedForMs };
    }
    case "check":
    case "peek":
      return decisionIn(reply, call.limits);
    case "state": {
      const [calls = 0, lastReset = 0, lockedForMs = 0, strikes = 0, lockedUntil = 0] = numbersIn(reply, 5);
      return { calls, lastReset, lockedForMs, strikes, lockedUntil: lockedUntil === 0 ? null : lockedUntil };
    }
    case "refund":
    case "lock":
    case "unlock":
    case "reset":
      return numbersIn(reply, 1)[0] !== 0;
    case "all":
      return allReplyOf(reply, call.members);
  }
}

function allReplyOf(reply: unknown, members: readonly AllMember[]): AllReply {
  const [isRecorded, ...decisions] = String(reply).split(",");
  if (decisions.length !== members.length) throw unreadable(reply);
  return {
    isRecorded: isRecorded === "1",
    members: members.map(({ limits }, at) => decisionIn(decisions[at], limits)),
  };
}

/** Parses the reply to a call with these limits. */
function decisionIn(reply: unknown, limits: readonly Limit[]): DecisionReply {
  const atLock = COMMON + PER_LAYER * limits.length;
  const numbers = numbersIn(reply, atLock, OF_LOCK);
  const [passed, epoch = 0, time = 0, newest = 0] = numbers;
  const layers = limits.map(({ name, maxCalls, periodMs, reducedFrom }, at): LayerStatus => {
    const first = COMMON + PER_LAYER * at;
    const used = numbers[first] as number;
    return {
      name,
      maxCalls,
      periodMs,
      reducedFrom,
      used,
      remaining: Math.max(0, maxCalls - used),
      retryAfterMs: orNever(numbers[first + 1] as number),
      moreAfterMs: orNever(numbers[first + 2] as number),
      resetAfterMs: Math.max(0, newest + periodMs),
    };
  });
  const [refuses, lockedForMs = 0, strikes = 0] = numbers.slice(atLock);
  const lock = refuses === undefined ? undefined : { lockedForMs, strikes, refuses: refuses === 1 };
  return { passed: passed === 1, epoch, timestamp: time + newest, layers, lock };
}

/**
 * Parses integers that are separated by spaces. Clients return a single one as a number, a bigint or a string.
 *
 * @param optional - how many more there may be: all of them or none.
 * @throws StoreError if there are not exactly as many integers.
 */
function numbersIn(reply: unknown, count: number, optional = 0): readonly number[] {
  const words = String(reply).split(" ");
  const numbers = words.map(Number);
  const hasAll = numbers.length === count || numbers.length === count + optional;
  if (hasAll && numbers.every(Number.isSafeInteger) && !words.includes("")) return numbers;
  throw unreadable(reply);
}

/** The script returns -1 for a call that can never pass. */
function orNever(ms: number): number {
  return ms < 0 ? Infinity : ms;
}

function unreadable(reply: unknown): StoreError {
  return new StoreError(`Redis sent a reply that the script cannot have sent: ${String(reply).slice(0, 60)}`);
}

// The errors that Redis replies with. Only the beginning of a message is matched: several clients append the command, and with it a
// key that a user chose.

/** The prefix that a client adds to a server error: none in ioredis and others, a few words in valkey-glide and upstash. */
const FROM_SERVER = String.raw`^(?:(?:\w*Error|An error was signalled by the server|Command failed)[: -]+)*`;
/** The prefix of an error inside a script, in Redis 6 and in 7. */
const IN_SCRIPT = String.raw`(?:ERR )?(?:Error running script \(call to \w+\): )?(?:@?user_script: ?\d+: )*`;

/** Recognises the errors whose message begins with `code`, behind what clients add. */
function starting(code: string): (error: unknown) => boolean {
  const pattern = new RegExp(`${FROM_SERVER}(?:${code})\\b`);
  return (error) => pattern.test(messageOf(error));
}

/** Whether the server does not know the script: it was restarted, flushed or promoted, and nothing has run. */
export const isMissingScript: (error: unknown) => boolean = starting("NOSCRIPT|NoScriptError");

/** Whether the value of a key was not written by this library, so that it does not show which calls were admitted. */
export const isForeignValue: (error: unknown) => boolean = starting(`${IN_SCRIPT}(?:SLUICEGATE|WRONGTYPE)`);

/**
 * Whether the server refuses to record a call: it is out of memory, has too few replicas, is a replica itself, or cannot save.
 * It replies at once, and still refuses calls of keys at their limit, because a refusal writes nothing.
 */
export const isWriteRefused: (error: unknown) => boolean = starting(
  `${IN_SCRIPT}-?(?:OOM|NOREPLICAS|READONLY|MISCONF)`,
);

/** Whether the user of the client lacks a permission: for a command, for one within the script, or for a key. */
export const isNotPermitted: (error: unknown) => boolean = starting(
  `${IN_SCRIPT}(?:NOPERM|The user executing the script can't run this command|ACL failure in script)`,
);

/** Whether the keys of a command are in different slots of a cluster, so that nothing has run. */
export const isCrossSlot: (error: unknown) => boolean = starting("CROSSSLOT|CrossSlot");

/** Whether the keys of a command are on two servers at present, because their slot is being moved; nothing has run. */
export const isUnsettled: (error: unknown) => boolean = starting("TRYAGAIN|TryAgain");

/** Whether another server of a cluster has the key, permanently or at present, so that nothing has run. */
export const isRedirect: (error: unknown) => boolean = starting("MOVED|Moved|ASK|Ask");

/** The words for an error of the connection, by its code. */
const CONNECTION_ERRORS: Readonly<Record<string, string>> = {
  ECONNREFUSED: "connection refused",
  ECONNRESET: "connection reset",
  EHOSTUNREACH: "host unreachable",
  ENETUNREACH: "network unreachable",
  ENOTFOUND: "host not found",
  EPIPE: "connection closed",
  ETIMEDOUT: "connection timed out",
};

/** The codes of errors of the server that do not depend on the command. */
const SERVER_ERROR = new RegExp(
  `${FROM_SERVER}${IN_SCRIPT}-?(BUSY|CLUSTERDOWN|LOADING|MASTERDOWN|MISCONF|NOAUTH|NOPERM|NOREPLICAS|OOM|READONLY|WRONGPASS|WRONGTYPE)\\b`,
);

/** The messages of ioredis and node-redis for a command that they neither send nor queue. */
const NOT_CONNECTED =
  /^(?:Stream isn't writeable and enableOfflineQueue|Connection is closed|The client is (?:closed|offline))/;

/** Describes a failure by its code or its class. Never quotes the message, which may contain the command, and with it the key. */
export function reasonInWords(error: unknown): string {
  // A client that uses `fetch` has the error of the connection as a cause.
  for (const code of [memberOf(error, "code"), memberOf(memberOf(error, "cause"), "code")]) {
    const words = typeof code === "string" && Object.hasOwn(CONNECTION_ERRORS, code) && CONNECTION_ERRORS[code];
    if (typeof words === "string") return `${words} (${String(code)})`;
  }
  const [, reply] = SERVER_ERROR.exec(messageOf(error)) ?? [];
  if (reply !== undefined) return `error reply (${reply})`;
  if (isForeignValue(error)) return "a value is not a log of this package";
  if (NOT_CONNECTED.test(messageOf(error))) return "client not connected";
  const name = memberOf(memberOf(error, "constructor"), "name");
  return typeof name === "string" && name !== "Error" ? `error of the client (${name})` : "error of the client";
}

function messageOf(error: unknown): string {
  try {
    return error instanceof Error ? error.message : String(error);
  } catch {
    return "";
  }
}
