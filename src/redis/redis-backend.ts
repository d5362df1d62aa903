import { StoreError } from "../core/errors.js";
import type { Limit } from "../core/limit.js";
import { typeError } from "../core/validate.js";
import type { AllMember, Backend, Failure, RemoteCall, Request } from "../store/remote/backend.js";
import { CrossSlotError, UnreachableError } from "../store/remote/backend.js";
import type { Connection, Send } from "./clients.js";
import {
  isCrossSlot,
  isForeignValue,
  isMissingScript,
  isNotPermitted,
  isRedirect,
  isUnsettled,
  isWriteRefused,
  reasonInWords,
  repliesOf,
} from "./reply.js";
import { SCRIPT } from "./script.js";

/** Runs the script on one Redis, or on a cluster. */
export class RedisBackend implements Backend {
  readonly name = "Redis";
  readonly source = "redis";
  readonly reasonInWords: (cause: unknown) => string = reasonInWords;
  readonly #connection: Connection;
  /** Whether the client is of a cluster, or a server has replied that it belongs to one. */
  #isCluster: boolean;
  /** The words of limits, by array: a limiter passes the same one until its limits change. */
  readonly #words = new WeakMap<readonly Limit[], readonly string[]>();

  constructor(connection: Connection) {
    this.#connection = connection;
    this.#isCluster = connection.isCluster;
  }

  /** Executes all calls by one run of the script. */
  execute(calls: readonly RemoteCall[], isLate: () => boolean): Promise<readonly unknown[]> {
    const { send } = this.#connection;
    const { keys, words } = this.#encoded(calls);
    const [first = ""] = keys;
    const args = [String(keys.length), ...keys, ...words];
    const reply = Promise.resolve(send(["EVALSHA", SCRIPT.sha1, ...args], first, isLate));
    const parse = (replies: unknown): readonly unknown[] => repliesOf(replies, calls);
    return reply.then(parse, (error: unknown) => {
      // Nothing has run. This is the only error that is retried here: after most others the calls may have been recorded. Calls
      // that timed out are not retried, because the fallback has decided them.
      if (isLate() || !isMissingScript(error)) throw error;
      return send(["EVAL", SCRIPT.text, ...args], first, isLate).then(parse);
    });
  }

  #encoded(calls: readonly RemoteCall[]): { readonly keys: readonly string[]; readonly words: readonly string[] } {
    const [keys, words]: [string[], string[]] = [[], []];
    let previous: RemoteCall | undefined;
    let [size, sizeAt] = [0, 0];
    for (const call of calls) {
      if (call.method === "all") {
        words.push("all", String(call.members.length), "0");
        for (const member of call.members) {
          keys.push(member.key);
          words.push(...lockWordsOf(member), member.mayRefuse ? "must" : "may", "1", ...this.#wordsOf(member));
        }
      } else {
        keys.push(call.key);
        if (previous !== undefined && differInKeyOnly(call, previous)) {
          size += 1;
          words[sizeAt] = String(size);
        } else {
          size = 1;
          words.push(...lockWordsOf(call), call.method);
          sizeAt = words.length;
          words.push("1", ...this.#wordsOf(call));
        }
      }
      previous = call;
    }
    return { keys, words };
  }

  /** The number of words of a call, and its words. */
  #wordsOf(call: Exclude<RemoteCall, { method: "all" }> | AllMember): readonly string[] {
    const longest = String(call.longestMs);
    if ("limits" in call) {
      let words = this.#words.get(call.limits);
      if (words === undefined) {
        words = call.limits.flatMap(({ maxCalls, periodMs }) => [String(maxCalls), String(periodMs)]);
        this.#words.set(call.limits, words);
      }
      return [String(2 + words.length), longest, String(call.cost), ...words];
    }
    switch (call.method) {
      case "state":
        return ["1", longest];
      case "refund": {
        const { epoch, timestamp, cost } = call.recorded;
        return ["4", longest, String(epoch), String(timestamp), String(cost)];
      }
      case "lock":
        return ["2", longest, String(call.ms)];
      case "unlock":
      case "reset": {
        const { lockedUntil } = call;
        return lockedUntil === undefined ? ["1", longest] : ["2", longest, String(lockedUntil ?? 0)];
      }
    }
  }

  /** The hash tag, since keys with one tag share a slot. A server without slots has one group. */
  groupOf(key: string): string {
    return this.#isCluster ? hashedPart(this.#connection.ownPrefix + key) : "";
  }

  deleteKey(key: string): Promise<unknown> {
    return this.#connection.send(["UNLINK", key], key);
  }

  /**
   * A cluster is scanned twice: a key that moves from a server that was not yet scanned to one that was is found by the second scan.
   *
   * @throws StoreError (as a rejection) for a client of one server of a cluster.
   */
  async deleteAll(prefix: string, request: Request): Promise<void> {
    if (!this.#connection.isCluster && (this.#isCluster || (await this.#isPartOfCluster(request)))) {
      throw new StoreError(`The client is connected to one server of a Redis Cluster only: ${CLUSTER_ADVICE}`);
    }
    for (let pass = 0; pass < (this.#isCluster ? 2 : 1); pass += 1) {
      const primaries = await request(() => this.#connection.primaries());
      await Promise.all(primaries.map((primary) => this.#deleteOn(primary, prefix, request)));
    }
  }

  /** False if the user may not call `INFO`, or the server does not have it. */
  async #isPartOfCluster(request: Request): Promise<boolean> {
    const info = await request(async () => {
      try {
        return await this.#connection.send(["INFO", "cluster"], "");
      } catch {
        return "";
      }
    });
    return String(info).includes("cluster_enabled:1");
  }

  async #deleteOn(primary: Send, prefix: string, request: Request): Promise<void> {
    const { send, ownPrefix } = this.#connection;
    const pattern = `${escaped(ownPrefix + prefix)}*`;
    let cursor = "0";
    do {
      const reply = await request(() => primary(["SCAN", cursor, "MATCH", pattern, "COUNT", "1000"]));
      const [next, found] = reply as [unknown, unknown[]];
      cursor = String(next);
      const keys = found.map((key) => String(key).slice(ownPrefix.length));
      const [first] = keys;
      if (first === undefined) continue;
      // The keys have different slots, and may have moved to another server.
      if (this.#isCluster) await Promise.all(keys.map((key) => request(() => this.deleteKey(key))));
      else await request(() => send(["UNLINK", ...keys], first));
    } while (cursor !== "0");
  }

  failureOf(cause: unknown): Failure {
    const error = this.#errorOf(cause);
    // These replies are about one key or one command, and come without a wait; a Redis that refuses writes still refuses keys
    // at their limit.
    const isOutage = error instanceof UnreachableError && !isWriteRefused(cause) && !isNotPermitted(cause);
    // A permission that one key lacks fails a whole run.
    const isUnexecuted = error instanceof CrossSlotError || isNotPermitted(cause);
    return { error, isOutage, isUnexecuted };
  }

  #errorOf(cause: unknown): StoreError {
    // A reply that cannot be parsed.
    if (cause instanceof StoreError) return cause;
    if (isForeignValue(cause))
      return new StoreError("The value of a key in Redis is not a log of this package", { cause });
    if (isUnsettled(cause))
      return new CrossSlotError("The keys of a call are being moved to another server", { cause });
    if (isCrossSlot(cause)) {
      this.#isCluster = true;
      return new CrossSlotError(`The keys of a call are in different slots of a Redis Cluster: ${CLUSTER_ADVICE}`, {
        cause,
      });
    }
    if (isRedirect(cause) && !this.#connection.isCluster) {
      return new StoreError(`The client is of one server of a Redis Cluster: ${CLUSTER_ADVICE}`, { cause });
    }
    if (isNotPermitted(cause))
      return new UnreachableError("The Redis user of the client lacks a permission", { cause });
    return new UnreachableError("Redis could not decide", { cause });
  }
}

const CLUSTER_ADVICE =
  "pass the store the client of the cluster, and give keys that are checked together one tag with `hashTagged`";

/** The words of the lock policy, which are before those of the call. */
function lockWordsOf(call: Exclude<RemoteCall, { method: "all" }> | AllMember): readonly string[] {
  if (call.locks === undefined) return [];
  const { stepsMs, forgetAfterMs } = call.locks;
  const limits = "limits" in call && call.mayStrike ? call.limits : [];
  const steps = limits.length > 0 ? stepsMs : [];
  const isReduced = limits.some(({ reducedFrom }) => reducedFrom !== undefined);
  const depths = isReduced ? limits.map(({ maxCalls, reducedFrom }) => reducedFrom ?? maxCalls) : [];
  const words = [forgetAfterMs, steps.length, ...steps, ...depths];
  return ["locks", String(words.length), ...words.map(String)];
}

/** Whether two calls have the same words. */
function differInKeyOnly(one: RemoteCall, other: RemoteCall): boolean {
  if (!("limits" in one && "limits" in other)) return false;
  const { method, limits, cost, longestMs, locks, mayStrike } = other;
  if (one.locks !== locks || one.mayStrike !== mayStrike) return false;
  return one.method === method && one.limits === limits && one.cost === cost && one.longestMs === longestMs;
}

/** Escapes a string for the pattern of `SCAN`. */
function escaped(text: string): string {
  return text.replace(/[\\*?[\]^]/g, "\\$&");
}

/**
 * Prefixes a key with a hash tag, which determines its slot in a Redis Cluster: keys with the same tag are on one server, so that
 * `allOf` checks all of them by one command.
 *
 * The tag is a part of the key: the same key under another tag is another key, with its own log. Derive the tag from
 * what the keys have in common, for example a tenant, and not from the call.
 *
 * @param tag - any string. A few characters are escaped, so that no two pairs make the same key.
 * @throws TypeError when either is not a string.
 * @see {@link https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/#hash-tags | Redis Cluster: hash tags}
 *
 * @example
 * const both = allOf({ tenant: tenantLimiter, user: userLimiter });
 * await both.check({ tenant: hashTagged(tenant, ""), user: hashTagged(tenant, user) });
 */
export function hashTagged(tag: string, key: string): string {
  if (typeof tag !== "string") throw typeError("tag", "a string", tag);
  if (typeof key !== "string") throw typeError("key", "a string", key);
  // A tag ends at the first `}`, and an empty tag has no effect.
  const escaped = tag.replace(/[%}]/g, (character) => (character === "%" ? "%25" : "%7D"));
  return `{${escaped === "" ? "%" : escaped}}${key}`;
}

/** The part of a key that determines its slot: the text between its first `{` and the next `}`, or the whole key if there is none. */
export function hashedPart(key: string): string {
  return /^[^{]*\{([^}]+)\}/.exec(key)?.[1] ?? key;
}
