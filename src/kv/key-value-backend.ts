import type { Clock } from "../core/clock.js";
import { StoreError } from "../core/errors.js";
import { memberOf } from "../core/validate.js";
import type { Backend, Failure, RemoteCall, Request } from "../store/remote/backend.js";
import { CrossSlotError, UnreachableError } from "../store/remote/backend.js";
import { StoreTime } from "../store/store-time.js";
import type { KeyCall } from "./decide.js";
import { decideAll } from "./decide.js";
import { encodedKey, encodedPrefix } from "./encoded-key.js";
import { KeyRecord } from "./key-record.js";
import type { KeyValue, VersionedKeyValue } from "./key-value.js";
import { isVersioned } from "./key-value.js";
import { Mutex } from "./mutex.js";

/** Present in all runtimes, but not declared by ES2022. */
declare function setTimeout(run: () => void, ms: number): unknown;

/** How often a call is decided again because another process has changed its key meanwhile. */
const MOST_TRIES = 20;

/** The longest wait between two tries, in milliseconds. */
const LONGEST_PAUSE_MS = 50;

/** The key of the sections that wait for the hashes of long keys, so that their calls keep their order. No encoded key is empty. */
const HASHING = "";

/** Text that was read, and what `compareAndSet` compares. */
interface Found {
  readonly text: unknown;
  readonly version: unknown;
}

/**
 * Executes calls on a key-value store: the calls of one key are read, decided and written in one section of a mutex. So one
 * process is exact whatever the latency is, and with `compareAndSet` all processes are.
 */
export class KeyValueBackend implements Backend {
  readonly name = "KeyValue";
  readonly source = "kv";
  readonly #kv: KeyValue | VersionedKeyValue;
  readonly #time: StoreTime;
  readonly #mutex = new Mutex();
  /** For each key whose section runs, whether the callers of the section wait no longer. */
  readonly #running = new Map<string, () => boolean>();

  constructor(kv: KeyValue | VersionedKeyValue, clock: Clock) {
    this.#kv = kv;
    this.#time = new StoreTime(clock);
  }

  /** Executes calls on one key by one read and at most one write. */
  async execute(calls: readonly RemoteCall[], isLate: () => boolean): Promise<readonly unknown[]> {
    const ofKey = calls.filter((call) => call.method !== "all");
    const [first] = ofKey;
    if (first === undefined || ofKey.length < calls.length) {
      throw new CrossSlotError("A key-value store changes one key at a time");
    }
    return this.#inTurn(first.key, isLate, (at) => this.#decide(at, ofKey, isLate));
  }

  /** Each key is read and written separately. */
  groupOf(key: string): string {
    return key;
  }

  async deleteKey(key: string, isLate: () => boolean): Promise<void> {
    await this.#inTurn(key, isLate, (at) => this.#kv.delete(at));
  }

  /** @throws StoreError (as a rejection) if the key-value store cannot list its keys. */
  async deleteAll(prefix: string, request: Request): Promise<void> {
    const kv = this.#kv;
    if (typeof memberOf(kv, "keys") !== "function") {
      throw new StoreError("`reset()` of all keys needs a `kv` with the method `keys`; `reset(key)` works without it");
    }
    const start = encodedPrefix(prefix);
    const found = await request(async () => {
      // Keys that are being written may not be listed yet.
      const keys = new Set(this.#mutex.keys());
      for await (const key of (await kv.keys?.(start)) ?? []) keys.add(key);
      return [...keys].filter((key) => key.startsWith(start));
    });
    await Promise.all(found.map((at) => request((isLate) => this.#section(at, isLate, async () => kv.delete(at)))));
  }

  failureOf(cause: unknown): Failure {
    if (cause instanceof StoreError) {
      return { error: cause, isOutage: false, isUnexecuted: cause instanceof CrossSlotError };
    }
    const error = new UnreachableError("The key-value store could not decide", { cause });
    return { error, isOutage: true, isUnexecuted: false };
  }

  reasonInWords(cause: unknown): string {
    return cause instanceof Error ? `${cause.name}, see \`cause\`` : "see the message";
  }

  /** Runs a section of a key, whose encoding it gets. */
  async #inTurn<T>(key: string, isLate: () => boolean, section: (encoded: string) => T | PromiseLike<T>): Promise<T> {
    const encoded = encodedKey(key);
    const at = typeof encoded === "string" ? encoded : await this.#mutex.run(HASHING, () => encoded);
    return this.#section(at, isLate, () => section(at));
  }

  /**
   * Runs a section when the earlier ones of its key have ended. Not at a deadline: a late write would undo a newer one. While the
   * callers of a section have given up on it, the store hangs or is slow, and the section keeps its key; further calls fail at once.
   */
  #section<T>(key: string, isLate: () => boolean, section: () => T | PromiseLike<T>): Promise<T> {
    if (this.#running.get(key)?.() === true) {
      return Promise.reject(
        new UnreachableError(
          "An earlier call of this key hangs in the key-value store: it has not settled within `timeout`",
        ),
      );
    }
    return this.#mutex.run(key, async () => {
      assertAwaited(isLate);
      this.#running.set(key, isLate);
      try {
        return await section();
      } finally {
        this.#running.delete(key);
      }
    });
  }

  async #decide(key: string, calls: readonly KeyCall[], isLate: () => boolean): Promise<readonly unknown[]> {
    for (let tries = 1; tries <= MOST_TRIES; tries += 1) {
      const { text, version } = await this.#read(key);
      const record = KeyRecord.parse(text);
      this.#time.read();
      const { replies, ttlMs } = decideAll(record, calls, this.#time);
      if (ttlMs === undefined) return replies;
      // What is written for a caller that has given up would count a call that was not admitted.
      assertAwaited(isLate);
      if (await this.#write(key, version, record.toString(), ttlMs)) return replies;
      // At random, so that processes that have met once do not meet again.
      const pause = Math.random() * Math.min(LONGEST_PAUSE_MS, 2 ** tries);
      await new Promise<void>((resolve) => void setTimeout(resolve, pause));
      assertAwaited(isLate);
    }
    throw new UnreachableError(`Other processes changed the key at each of ${MOST_TRIES} tries`);
  }

  async #read(key: string): Promise<Found> {
    const kv = this.#kv;
    if (!isVersioned(kv)) return { text: (await kv.get(key)) ?? undefined, version: undefined };
    const found = await kv.get(key);
    if (found === undefined || found === null) return { text: undefined, version: undefined };
    if (typeof found !== "object") {
      throw new StoreError("The method `get` of a `kv` with `compareAndSet` must return `{ value, version }`");
    }
    return { text: memberOf(found, "value") ?? undefined, version: memberOf(found, "version") };
  }

  /** Returns false if another process has changed the key since it was read. */
  async #write(key: string, version: unknown, text: string, ttlMs: number): Promise<boolean> {
    const kv = this.#kv;
    if (isVersioned(kv)) return await kv.compareAndSet(key, version, text, ttlMs);
    await kv.set(key, text, ttlMs);
    return true;
  }
}

/** @throws Error if no caller waits any more. No caller receives it. */
function assertAwaited(isLate: () => boolean): void {
  if (isLate()) throw new Error("No caller waits for this call any more, so nothing was recorded");
}
