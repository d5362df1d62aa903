import { StoreError } from "../core/errors.js";
import type { Limit } from "../core/limit.js";
import { typeError } from "../core/validate.js";
import type { AllMember, Backend, DecisionCall, Failure, RemoteCall, Request } from "../store/remote/backend.js";
import { CrossSlotError, UnreachableError } from "../store/remote/backend.js";
import type { Connection, Send } from "./clients.js";
import {
  allReplyOf,
  decisionReplyOf,
  isCrossSlot,
  isForeignValue,
  isMissingScript,
  isNotPermitted,
  isRedirect,
  isUnsettled,
  isWriteRefused,
  numberIn,
  reasonInWords,
  stateOf,
} from "./reply.js";
import type { Script } from "./script.js";
import { SCRIPT, SCRIPT_OF_SEVERAL } from "./script.js";

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

  execute(calls: readonly RemoteCall[], isLate: () => boolean): Promise<readonly unknown[]> {
    return Promise.all(calls.map((call) => this.#executeOne(call, isLate)));
  }

  async #executeOne(call: RemoteCall, isLate: () => boolean): Promise<unknown> {
    const run = (...words: readonly string[]): Promise<unknown> =>
      this.#run(SCRIPT, [(call as DecisionCall).key], words, isLate);
    switch (call.method) {
      case "admit": {
        const number = numberIn(await run("admit", ...this.#wordsOf(call)));
        // 0 means that the call can never pass.
        return number > 0 ? 0 : -number || Infinity;
      }
      case "state":
        return stateOf(await run("state", String(call.longestMs)));
      case "refund": {
        const { epoch, timestamp, cost } = call.recorded;
        return numberIn(await run("refund", ...[call.longestMs, epoch, timestamp, cost].map(String))) > 0;
      }
      case "all": {
        const { members } = call;
        const words = members.flatMap((member) => {
          const own = this.#wordsOf(member);
          return [member.mayRefuse ? "1" : "0", String(own.length), ...own];
        });
        const names = members.map(({ key }) => key);
        return allReplyOf(await this.#run(SCRIPT_OF_SEVERAL, names, words, isLate), members);
      }
      default:
        return decisionReplyOf(await run(call.method, ...this.#wordsOf(call)), call.limits);
    }
  }

  #wordsOf({ longestMs, cost, limits }: Omit<AllMember, "mayRefuse">): readonly string[] {
    let words = this.#words.get(limits);
    if (words === undefined) {
      words = limits.flatMap(({ maxCalls, periodMs }) => [String(maxCalls), String(periodMs)]);
      this.#words.set(limits, words);
    }
    return [String(longestMs), String(cost), ...words];
  }

  #run(
    { text, sha1 }: Script,
    keys: readonly string[],
    args: readonly string[],
    isLate: () => boolean,
  ): Promise<unknown> {
    const { send } = this.#connection;
    const [first = ""] = keys;
    const rest = [String(keys.length), ...keys, ...args];
    return Promise.resolve(send(["EVALSHA", sha1, ...rest], first, isLate)).catch((error: unknown) => {
      // Nothing has run. This is the only error that is retried: after any other the call may have been recorded. A call that
      // timed out is not retried, because the fallback has decided it.
      if (isLate() || !isMissingScript(error)) throw error;
      return send(["EVAL", text, ...rest], first, isLate);
    });
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
    return { error, isOutage };
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
