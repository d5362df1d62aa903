import { setTimeout as sleep } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { AsyncRateLimiter, MemoryStore, StoreError } from "sluicegate";
import { RedisRateLimiter, type RedisRateLimiterOptions, RedisStore, type Send } from "sluicegate/redis";
import { beforeEach, describe, expect, it, type MockInstance, vi } from "vitest";

const LOGIN = { maxCalls: 3, period: "1h", name: "login" } as const;

/** A client of a server that is gone, and the number of commands that were sent to it. */
function downClient(): { readonly client: Send; readonly sent: () => number } {
  let sent = 0;
  const client = async (): Promise<never> => {
    sent += 1;
    throw new Error("gone");
  };
  return { client, sent: () => sent };
}

/** How many of 20 calls are admitted, each by a limiter of its own. */
async function admittedBy(make: () => AsyncRateLimiter | RedisRateLimiter): Promise<number> {
  let admitted = 0;
  for (let call = 0; call < 20; call += 1) admitted += (await make().isAllowed("ada")) ? 1 : 0;
  return admitted;
}

describe("limiters that are made for each request, of one client, key prefix and name", () => {
  let warned: MockInstance<typeof process.emitWarning>;
  beforeEach(() => {
    warned = vi.spyOn(process, "emitWarning").mockReturnValue();
  });
  const make = (client: Send, options: Partial<RedisRateLimiterOptions> = {}): RedisRateLimiter =>
    new RedisRateLimiter({ ...LOGIN, client, ...options });

  it("admit maxCalls during an outage, and not maxCalls each", async () => {
    const { client } = downClient();
    expect(await admittedBy(() => make(client))).toBe(3);
    expect(await admittedBy(() => make(client))).toBe(0);
    expect(await admittedBy(() => make(client, { name: "search" }))).toBe(3);
    expect(await admittedBy(() => make(client, { keyPrefix: "other" }))).toBe(3);
    expect(await admittedBy(() => make(downClient().client))).toBe(20);
  });

  it("admit maxCalls during an outage by a store that is passed as whenDown, of one or of several RedisStores", async () => {
    const { client } = downClient();
    const whenDown = new MemoryStore();
    expect(await admittedBy(() => make(client, { whenDown }))).toBe(3);
    const layered = (): AsyncRateLimiter =>
      new AsyncRateLimiter({ ...LOGIN, name: "search", store: new RedisStore({ client, whenDown }) });
    expect(await admittedBy(layered)).toBe(3);
    expect(whenDown.size).toBe(2);
    // Another client has other keys: the name is taken.
    expect(() => make(downClient().client, { whenDown })).toThrow(RangeError);
  });

  it("share the calls of an outage whatever their timeout, denyCache and listeners are, and divide by their own instances", async () => {
    const { client } = downClient();
    expect(await make(client).isAllowed("ada")).toBe(true);
    const other = make(client, { timeout: "1s", denyCache: false, onStoreError: () => undefined });
    expect((await other.peek("ada")).remaining).toBe(2);
    const divided = make(client, { maxCalls: 6, instances: 3 });
    expect(await divided.isAllowed("ada")).toBe(true);
    expect(await divided.isAllowed("ada")).toBe(false);
    expect((await other.peek("ada")).remaining).toBe(1);
  });

  it("count separately during an outage if their periods differ", async () => {
    const { client } = downClient();
    expect(await make(client).isAllowed("ada")).toBe(true);
    expect((await make(client, { period: "1d" }).peek("ada")).remaining).toBe(3);
  });

  it("open one circuit breaker, which belongs to the client and the timeout", async () => {
    const { client, sent } = downClient();
    await admittedBy(() => make(client));
    expect(sent()).toBe(3);
    await admittedBy(() => make(client, { name: "search" }));
    expect(sent()).toBe(3);
    const seen: unknown[] = [];
    await expect(make(client, { whenDown: "deny" }).check("ada")).rejects.toMatchObject({ cause: new Error("gone") });
    await make(client, { timeout: "1s", onStoreError: (error) => seen.push(error) }).check("ada");
    expect([sent(), seen.length]).toEqual([4, 1]);
  });

  it("warn once of an outage", async () => {
    const { client } = downClient();
    await admittedBy(() => make(client));
    expect(warned.mock.calls.map(([message]) => message)).toEqual([
      "Redis failed a call of a RedisStore: error of the client",
    ]);
  });

  class ClientClosedError extends Error {}
  const refused = { code: "ECONNREFUSED" };
  it.each<[string, (text: string) => Error]>([
    ["connection refused (ECONNREFUSED)", (text) => Object.assign(new Error(text), refused)],
    ["connection refused (ECONNREFUSED)", (text) => new TypeError(text, { cause: refused })],
    ["error reply (OOM)", (text) => new Error(`OOM command not allowed, command was: ${text}`)],
    ["error reply (NOPERM)", (text) => new Error(`ReplyError: NOPERM no permission for ${text}`)],
    [
      "a value is not a log of this package",
      (text) => new ClientClosedError(`ERR user_script:20: SLUICEGATE the value of this key, command was: ${text}`),
    ],
    ["client not connected", () => new ClientClosedError("The client is closed")],
    ["client not connected", () => new Error("Stream isn't writeable and enableOfflineQueue options is false")],
    ["error of the client (ClientClosedError)", (text) => new ClientClosedError(text)],
    ["error of the client", (text) => new Error(text)],
    ["error of the client", (text) => Object.assign(new Error(text), { code: text })],
  ])("warn of %s without the command and the key, with a code", async (reason, errorOf) => {
    const limiter = make(async (command) => Promise.reject(errorOf(command.join(" "))));
    await limiter.check("OOM ada").catch((error: unknown) => expect(error).toBeInstanceOf(StoreError));
    const [message, options] = warned.mock.calls[0] as unknown as [string, { code: string; detail: string }];
    expect([message, options.code]).toEqual([
      `Redis failed a call of a RedisStore: ${reason}`,
      "SLUICEGATE_STORE_FAILED",
    ]);
    expect(options.detail).not.toMatch(/EVALSHA|ada/);
  });

  it("warn of a reply that is late, with the timeout", async () => {
    await make(() => new Promise(() => undefined), { timeout: "20ms" }).check("ada");
    expect(warned.mock.calls[0]?.[0]).toBe("Redis failed a call of a RedisStore: timed out after 20 ms");
  });

  it("send one command for a refused key, and another one after one of them resets or refunds it", async () => {
    let sent = 0;
    const client: Send = async ([command, , , , verb]) => {
      sent += 1;
      if (command === "UNLINK" || verb === "refund") return 1;
      return verb === "admit" ? -3_600_000 : "1 1 1000 0 1 0 3600000";
    };
    expect(await admittedBy(() => make(client))).toBe(0);
    expect(sent).toBe(1);
    await make(client).reset("ada");
    await make(client).isAllowed("ada");
    expect(sent).toBe(3);
    // The denial of an `isAllowed` has no layers, so a `check` is sent.
    await make(client).refund(await make(client).check("ada"));
    await make(client).isAllowed("ada");
    expect(sent).toBe(6);
    // A cache by another maxAge is another cache.
    await make(client, { denyCache: { maxAge: "2s" } }).isAllowed("ada");
    await make(client, { denyCache: false }).isAllowed("ada");
    expect(sent).toBe(8);
  });

  it("drop a denial when a limiter with another maxAge, or without a deny cache, resets its key", async () => {
    let sent = 0;
    const client: Send = async ([command]) => ((sent += 1), command === "UNLINK" ? 1 : -3_600_000);
    for (const denyCache of [{ maxAge: "2s" }, false] as const) {
      await make(client).isAllowed("ada");
      await make(client, { denyCache }).reset("ada");
      sent = 0;
      await make(client).isAllowed("ada");
      expect(sent).toBe(1);
    }
  });

  it.each<[string, Partial<RedisRateLimiterOptions>]>([
    ["in local memory", {}],
    ["in the store of `whenDown`", { whenDown: new MemoryStore() }],
  ])("admit maxCalls during an outage %s if each is closed after its call", async (_, options) => {
    const { client } = downClient();
    let admitted = 0;
    for (let call = 0; call < 20; call += 1) {
      const limiter = make(client, options);
      admitted += (await limiter.isAllowed("ada")) ? 1 : 0;
      limiter.close();
    }
    expect(admitted).toBe(3);
  });

  it.each<[string, Partial<RedisRateLimiterOptions>]>([
    ["in local memory", {}],
    ["in the store of `whenDown`", { whenDown: new MemoryStore() }],
  ])("admit maxCalls during an outage %s after 1,000 other names were opened", async (_, options) => {
    const { client } = downClient();
    for (let name = 0; name < 1001; name += 1)
      await make(client, { ...options, name: `other ${name}` }).isAllowed("ada");
    expect(await admittedBy(() => make(client, options))).toBe(3);
    // The first of the others has not been forgotten.
    expect((await make(client, { ...options, name: "other 0" }).peek("ada")).remaining).toBe(2);
  });

  it("forget the calls of an outage when their period has passed", async () => {
    const whenDown = new MemoryStore();
    const { client } = downClient();
    const first = make(client, { whenDown, period: "20ms", name: "first" });
    await first.isAllowed("ada");
    first.close();
    expect(whenDown.size).toBe(1);
    await sleep(30);
    const second = make(client, { whenDown, name: "second" });
    await second.isAllowed("ben");
    second.close();
    expect(whenDown.size).toBe(1);
    expect((await make(client, { whenDown, name: "second" }).peek("ben")).remaining).toBe(2);
  });

  it("send one command for a refused key if each is closed after its call", async () => {
    let sent = 0;
    const client: Send = async () => ((sent += 1), -3_600_000);
    for (let call = 0; call < 20; call += 1) {
      const limiter = make(client);
      expect(await limiter.isAllowed("ada")).toBe(false);
      limiter.close();
    }
    expect(sent).toBe(1);
  });

  it("leave the name in the store of `whenDown` to a limiter of another client when they are closed", async () => {
    const whenDown = new MemoryStore();
    const limiter = make(downClient().client, { whenDown });
    await limiter.check("ada");
    limiter.close();
    const other = make(downClient().client, { whenDown });
    expect((await other.check("ada")).remaining).toBe(2);
    expect(whenDown.size).toBe(1);
    expect(() => make(downClient().client, { whenDown })).toThrow(RangeError);
  });

  it.each<[string, Partial<RedisRateLimiterOptions>, unknown]>([
    ["allow", { whenDown: "allow" }, { allowed: true, source: "fallback" }],
    ["local", { whenDown: "local" }, { allowed: true, source: "fallback" }],
    ["a store", { whenDown: new MemoryStore() }, { allowed: true, source: "fallback" }],
    ["deny", { whenDown: "deny" }, { code: "STORE_ERROR" }],
  ])("decide a call that is under way when they are closed by `whenDown`: %s", async (_, options, outcome) => {
    const limiter = make(async () => new Promise(() => undefined), { ...options, timeout: "20ms" });
    const call = limiter.check("ada").catch((error: unknown) => error);
    limiter.close();
    expect(await call).toMatchObject(outcome as object);
  });

  it("take no more memory the more of them are made, of one name or of names without number, open or closed", () => {
    setFlagsFromString("--expose-gc");
    const gc = runInNewContext("gc") as () => void;
    const { client } = downClient();
    const used = (): number => (gc(), process.memoryUsage().heapUsed + process.memoryUsage().arrayBuffers);
    const growth = (makeAll: (call: number) => void): number => {
      const before = used();
      for (let call = 0; call < 20_000; call += 1) makeAll(call);
      return (used() - before) / 2 ** 20;
    };
    expect(growth(() => void make(client))).toBeLessThan(4);
    expect(growth((call) => make(client, { name: `closed ${call}` }).close())).toBeLessThan(4);
    // A thousand names are kept.
    expect(growth((call) => void make(client, { name: `open ${call}` }))).toBeLessThan(12);
    expect(growth((call) => void make(client, { name: `more ${call}` }))).toBeLessThan(4);
  });
});
