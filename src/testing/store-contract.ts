import type { Decision, Source } from "../core/decision.js";
import { assertBoolean, parseOptions, typeError } from "../core/validate.js";
import { AdaptiveRateLimiter } from "../limiter/adaptive-rate-limiter.js";
import { allOf } from "../limiter/all-of.js";
import { AsyncRateLimiter } from "../limiter/async-rate-limiter.js";
import { DOSProtectionLimiter, LayeredRateLimiter } from "../limiter/layered-rate-limiter.js";
import { TieredRateLimiter, USER_TIERS } from "../limiter/tiered-rate-limiter.js";
import type { Store } from "../store/store.js";
import { expectMatch, expectThat, rejectionOf, withinAMinute } from "./expectations.js";

/** Present in all runtimes, but not declared by ES2022. */
declare function setTimeout(run: () => void, ms: number): unknown;

/** One requirement of the contract of stores. */
export interface StoreCheck {
  /** What a store does, as a sentence without its subject. Example: `"admits exactly maxCalls of many calls at once"`. */
  readonly name: string;
  /** Makes a store and checks it. Rejects with an error that says what was expected, after a minute at the latest. */
  readonly run: () => Promise<void>;
}

/** Options of {@link storeContract}. */
export interface StoreContractOptions {
  /** Makes a store without any log, for one check. Its time is real: it passes between two calls. */
  readonly store: () => Store;
  /** The source that its decisions must have. @default any */
  readonly source?: Source | undefined;
  /** Whether its namespaces have `lock` and `unlock`, which are optional. Then these are checked as well. @default false */
  readonly locks?: boolean | undefined;
}

/** A check with the stores that it needs. */
type Check = (given: { readonly store: () => Store; readonly source: object }) => Promise<void>;

/**
 * The contract of stores, as checks that run in any test runner: what every limiter needs of every store. A store that passes all
 * of them works with every limiter of this package.
 *
 * The checks are independent of each other, and may run at the same time, each on a store of its own. They use several
 * limiters, waits of up to a second, and logs of up to 5,000 timestamps. They say nothing about processes that share a store, about
 * the failures of a server, or about keys that expire there: test these as well.
 *
 * @throws TypeError if an option is unknown or of the wrong type.
 *
 * @example
 * import { test } from "node:test";
 * for (const { name, run } of storeContract({ store: () => new MyStore() })) test(name, run);
 */
export function storeContract(options: StoreContractOptions): readonly StoreCheck[] {
  const { store, source, locks = false } = parseOptions("options", options, ["store", "source", "locks"]);
  assertBoolean("locks", locks);
  if (typeof store !== "function") throw typeError("store", "a function that makes a store", store);
  const given = { store, source: source === undefined ? {} : { source } };
  return Object.entries(locks ? { ...CHECKS, ...LOCK_CHECKS } : CHECKS).map(([name, check]) => ({
    name,
    run: () => withinAMinute(`a store that ${name}`, check(given)),
  }));
}

/** `TESTING=1` must not bypass the limiters of the checks. */
const HOUR = { maxCalls: 3, period: "1h", bypass: false } as const;

/** Waits at least that long: a timer of Node may fire up to a millisecond early. */
const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms + 1));

const CHECKS: Readonly<Record<string, Check>> = {
  "admits maxCalls, and refuses the next with the wait until it would pass": async ({ store, source }) => {
    const limiter = new AsyncRateLimiter({ ...HOUR, store: store() });
    for (const remaining of [2, 1, 0]) {
      const expected = { allowed: true, reason: "Allowed", remaining, ...source };
      expectMatch(`check("ada")`, await limiter.check("ada"), expected);
    }
    const refused = await limiter.check("ada");
    const expected = { allowed: false, reason: "Rate limit exceeded", remaining: 0, ...source };
    expectMatch(`check("ada")`, refused, expected);
    expectThat(`check("ada").limit`, "the limit of the limiter", refused.limit, refused.limit === limiter.limits[0]);
    const times = {
      retryAfterMs: refused.retryAfterMs,
      resetAfterMs: refused.resetAfterMs,
      "layers[0].moreAfterMs": refused.layers[0]?.moreAfterMs ?? NaN,
    };
    for (const [name, ms] of Object.entries(times)) {
      const holds = Number.isInteger(ms) && ms > 3_599_000 && ms <= 3_600_001;
      expectThat(`check("ada").${name}`, "whole milliseconds up to an hour after the first call", ms, holds);
    }
    expectMatch(`isAllowed("ben")`, await limiter.isAllowed("ben"), true);
    expectMatch(`isAllowed("ada")`, await limiter.isAllowed("ada"), false);
  },

  "lets a call pass when its wait is over, and not before": async ({ store }) => {
    const limiter = new AsyncRateLimiter({ maxCalls: 2, period: "500ms", bypass: false, store: store() });
    await limiter.check("ada");
    await sleep(200);
    await limiter.check("ada");
    const { allowed, retryAfterMs } = await limiter.check("ada");
    expectMatch(`check("ada").allowed`, allowed, false);
    expectThat(`check("ada").retryAfterMs`, "at most 301", retryAfterMs, retryAfterMs <= 301);
    await sleep(retryAfterMs + 2);
    expectMatch(`check("ada") after the wait`, await limiter.check("ada"), { allowed: true });
    expectMatch(`check("ada") after another call`, await limiter.check("ada"), { allowed: false });
  },

  "counts by cost, distinguishes never from later, and records nothing for a peek": async ({ store }) => {
    const limiter = new AsyncRateLimiter({ ...HOUR, store: store() });
    const fresh = { allowed: true, remaining: 3, resetAfterMs: 0 };
    expectMatch(`peek("ada", { cost: 3 })`, await limiter.peek("ada", { cost: 3 }), fresh);
    for (const allowed of [true, false]) {
      const decision = await limiter.check("ada", { cost: 2 });
      expectMatch(`check("ada", { cost: 2 })`, decision, { allowed, remaining: 1 });
    }
    const never = { allowed: false, retryAfterMs: Infinity };
    expectMatch(`check("ada", { cost: 4 })`, await limiter.check("ada", { cost: 4 }), never);
    expectMatch(`peek("ada")`, await limiter.peek("ada"), { allowed: true, remaining: 1 });
    expectMatch(`state("ada")`, await limiter.state("ada"), { calls: 2 });
    expectMatch(`state("unused")`, await limiter.state("unused"), { calls: 0 });
  },

  "refunds exactly what a call recorded, once, and nothing of a later log": async ({ store }) => {
    const limiter = new AsyncRateLimiter({ ...HOUR, store: store() });
    const first = await limiter.check("ada", { cost: 2 });
    const second = await limiter.check("ada");
    for (const isFirst of [true, false]) {
      expectMatch("the refund of a call of cost 2", await limiter.refund(first), isFirst);
      expectMatch(`peek("ada")`, await limiter.peek("ada"), { remaining: 2 });
    }
    await limiter.reset("ada");
    await limiter.check("ada");
    expectMatch("the refund of a call before reset()", await limiter.refund(second), false);
    expectMatch(`peek("ada")`, await limiter.peek("ada"), { remaining: 2 });
    expectMatch(`check("ada", { cost: 3 })`, await limiter.check("ada", { cost: 3 }), { allowed: false });
  },

  "refunds a call that at most 4,096 timestamps are newer than, and leaves an older one counted": async ({ store }) => {
    const limiter = new AsyncRateLimiter({ maxCalls: 10_000, period: "1h", bypass: false, store: store() });
    const both = allOf({ one: limiter });
    const oldest = await both.check({ one: "ada" });
    await sleep(3);
    const second = await limiter.check("ada");
    await sleep(3);
    await limiter.check("ada", { cost: 4095 });
    await sleep(3);
    await limiter.check("ada");
    expectMatch("the refund under 4,096 timestamps", await limiter.refund(second), true);
    expectMatch(`state("ada")`, await limiter.state("ada"), { calls: 4097 });
    const latest = await limiter.check("ada");
    expectMatch("the refund under 4,097 timestamps", await both.refund(oldest), false);
    expectMatch(`state("ada")`, await limiter.state("ada"), { calls: 4098 });
    // One refund is one attempt: the call stays counted, however shallow it lies later.
    expectMatch("the refund of the latest call", await limiter.refund(latest), true);
    expectMatch("the second refund of the oldest call", await both.refund(oldest), false);
    expectMatch(`state("ada")`, await limiter.state("ada"), { calls: 4097 });
  },

  "checks all layers of one log, and records in all or in none": async ({ store }) => {
    const limiter = new LayeredRateLimiter({
      limits: [
        { name: "Burst", maxCalls: 2, period: "1s" },
        { name: "Daily", maxCalls: 3, period: "30d" },
      ],
      bypass: false,
      store: store(),
    });
    const layers = [{ remaining: 0 }, { remaining: 1 }];
    expectMatch(`check("ada", { cost: 2 })`, await limiter.check("ada", { cost: 2 }), { allowed: true, layers });
    const burst = { allowed: false, reason: "Burst rate limit exceeded", limit: { name: "Burst" }, layers };
    expectMatch(`check("ada")`, await limiter.check("ada"), burst);
    const never = { retryAfterMs: Infinity };
    expectMatch(`check("ada", { cost: 3 })`, await limiter.check("ada", { cost: 3 }), never);
    const daily = await limiter.check("ada", { cost: 2 });
    expectMatch(`check("ada", { cost: 2 })`, daily, { allowed: false, reason: "Daily rate limit exceeded" });
    const { retryAfterMs } = daily;
    expectThat(`check("ada", { cost: 2 }).retryAfterMs`, "about 30 days", retryAfterMs, retryAfterMs > 2_591_990_000);
  },

  "reports what is used in each window, also above a limit that was lowered": async ({ store }) => {
    const layered = new LayeredRateLimiter({
      limits: [
        { name: "Burst", maxCalls: 4, period: "200ms" },
        { name: "Daily", maxCalls: 9, period: "1d" },
      ],
      bypass: false,
      store: store(),
    });
    const used = ({ layers }: Decision): number[] => layers.map((layer) => layer.used);
    expectMatch("`used` of a new key", used(await layered.peek("ada")), [0, 0]);
    expectMatch("`used` after a cost of 3", used(await layered.check("ada", { cost: 3 })), [3, 3]);
    expectMatch("`used` after a refusal", used(await layered.check("ada", { cost: 3 })), [3, 3]);
    await sleep(250);
    expectMatch("`used` after the first window", used(await layered.check("ada", { cost: 2 })), [2, 5]);

    const adaptive = new AdaptiveRateLimiter({ baseMaxCalls: 10, period: "1h", bypass: false, store: store() });
    await adaptive.check("ada", { cost: 8 });
    adaptive.adjustForLoad(1, 1);
    const lowered = { layers: [{ maxCalls: 5, used: 8, remaining: 0 }] };
    expectMatch(`check("ada") under load`, await adaptive.check("ada"), lowered);
    expectMatch(`peek("ada", { cost: 3 }) under load`, await adaptive.peek("ada", { cost: 3 }), lowered);
  },

  "decides a call at its own maxCalls by the same log, and keeps what a higher one needs": async ({
    store,
    source,
  }) => {
    const limiter = new AsyncRateLimiter({ ...HOUR, store: store() });
    await limiter.check("ada", { cost: 2 });
    const lower = { allowed: false, remaining: 0, refusedBy: "limit" };
    expectMatch("a call at 1, 2 used", await limiter.check("ada", { maxCalls: 1 }), lower);
    expectMatch("a call at 2, 2 used", await limiter.isAllowed("ada", { maxCalls: 2 }), false);
    // Deeper than what a store may read at once.
    const deep = await limiter.check("ada", { cost: 400, maxCalls: 500 });
    expectMatch("a call of cost 400 at 500, 2 used", deep, { allowed: true, remaining: 98 });
    const refused = { allowed: false, remaining: 0, limit: { maxCalls: 3 }, layers: [{ used: 402 }] };
    expectMatch("a call at 3, 402 used", await limiter.check("ada"), refused);
    const never = { allowed: false, retryAfterMs: Infinity };
    expectMatch("a call at 0", await limiter.check("ada", { maxCalls: 0 }), never);
    const last = { allowed: true, remaining: 0, layers: [{ used: 403 }] };
    expectMatch("a call at 403, 402 used", await limiter.check("ada", { maxCalls: 403 }), last);
    const free = { allowed: true, remaining: 97, ...source };
    expectMatch("a peek at 500, 403 used", await limiter.peek("ada", { maxCalls: 500 }), free);
    const both = allOf({ limiter });
    const of = (maxCalls: number): Promise<Decision> =>
      both.check({ limiter: "ada" }, { maxCalls: { limiter: maxCalls } });
    expectMatch("a call of allOf at 403, 403 used", await of(403), { allowed: false });
    const member = { limit: { maxCalls: 404 }, layers: [{ used: 404 }] };
    expectMatch("a call of allOf at 404, 403 used", await of(404), { allowed: true, members: { limiter: member } });
    const refundable = await limiter.check("ada", { maxCalls: 405 });
    expectMatch("the refund of a call at 405", await limiter.refund(refundable), true);
    expectMatch(`state("ada")`, await limiter.state("ada"), { calls: 404 });
  },

  "waits exactly where a call has a lower maxCalls than what is used": async ({ store }) => {
    const limiter = new AsyncRateLimiter({ maxCalls: 9, period: "600ms", bypass: false, store: store() });
    for (const cost of [1, 2]) {
      await limiter.check("ada", { cost });
      await sleep(150);
    }
    const { retryAfterMs } = await limiter.check("ada", { maxCalls: 3 });
    expectThat("retryAfterMs", "at most 301", retryAfterMs, retryAfterMs <= 301);
    await sleep(retryAfterMs + 2);
    const last = { allowed: true, remaining: 0 };
    expectMatch("a call at 3 after the wait", await limiter.check("ada", { maxCalls: 3 }), last);
    expectMatch("another call at 3", await limiter.check("ada", { maxCalls: 3 }), { allowed: false });
    expectMatch("acquire at 4", await limiter.acquire("ada", { maxCalls: 4 }), last);
  },

  "decides by a limit that was set, at once and for waiters": async ({ store }) => {
    const limiter = new AsyncRateLimiter({ ...HOUR, store: store() });
    await limiter.check("ada", { cost: 3 });
    const waiting = limiter.acquire("ada");
    await sleep(20);
    limiter.setMaxCalls(4);
    expectMatch("acquire at 4, 3 used", await waiting, { allowed: true, remaining: 0, limit: { maxCalls: 4 } });
    limiter.setMaxCalls(1);
    const lowered = { allowed: false, layers: [{ used: 4, remaining: 0 }] };
    expectMatch("a call at 1, 4 used", await limiter.check("ada"), lowered);
    limiter.setMaxCalls(5);
    expectMatch("a call at 5, 4 used", await limiter.isAllowed("ada"), true);
  },

  "names the cause of a refusal": async ({ store }) => {
    const limiter = new AdaptiveRateLimiter({ baseMaxCalls: 2, period: "1h", bypass: false, store: store() });
    expectMatch("the first call of 2", await limiter.check("ada"), { allowed: true, refusedBy: null });
    limiter.adjustForLoad(1, 1);
    const byLoad = { allowed: false, refusedBy: "load", reduced: true };
    expectMatch("the second call of 2 under load", await limiter.check("ada"), byLoad);
    limiter.adjustForLoad(0, 0);
    await limiter.check("ada");
    const byLimit = { allowed: false, refusedBy: "limit", reduced: false };
    expectMatch("the third call of 2", await limiter.check("ada"), byLimit);
  },

  "serves every variant: DOS, tiered, adaptive and shadow": async ({ store }) => {
    const dos = new DOSProtectionLimiter({ bypass: false, store: store() });
    for (let calls = 0; calls < 10; calls += 1) expectMatch("a call of a burst", await dos.isAllowed("ada"), true);
    expectMatch("the 11th call of a burst", await dos.check("ada"), { reason: "Burst rate limit exceeded" });

    const tiered = new TieredRateLimiter({ tiers: USER_TIERS, bypass: false, store: store() });
    await tiered.check("ada", "free");
    expectMatch(`peek("ada", "free")`, await tiered.peek("ada", "free"), { remaining: 99 });
    expectMatch(`peek("ada", "premium")`, await tiered.peek("ada", "premium"), { remaining: 1000 });
    await tiered.reset("ada");
    expectMatch(`peek("ada", "free") after reset()`, await tiered.peek("ada", "free"), { remaining: 100 });

    const adaptive = new AdaptiveRateLimiter({ baseMaxCalls: 10, period: "1h", bypass: false, store: store() });
    await adaptive.check("ada", { cost: 4 });
    adaptive.adjustForLoad(1, 1);
    const excess = await adaptive.check("ada", { cost: Math.max(1, adaptive.maxCalls - 3) });
    expectMatch("a call above the reduced limit", excess, { allowed: false, reduced: true });
    adaptive.adjustForLoad(0, 0);
    const rest = await adaptive.check("ada", { cost: 6 });
    expectMatch("a call up to the full limit", rest, { allowed: true, remaining: 0 });
    expectMatch("a call above the full limit", await adaptive.check("ada"), { allowed: false, reduced: false });

    const shadow = new AsyncRateLimiter({ ...HOUR, mode: "shadow", store: store() });
    for (let calls = 0; calls < 5; calls += 1) await shadow.isAllowed("ada");
    const shadowed = { allowed: true, shadowed: true, remaining: 0 };
    expectMatch("a call above the limit in shadow mode", await shadow.check("ada"), shadowed);
    expectMatch("state() in shadow mode", await shadow.state("ada"), { calls: 3 });
  },

  "keeps namespaces apart, and forgets one key or all of one namespace, whatever their names": async ({ store }) => {
    const shared = store();
    const names = ["default", "user", "user*", "u[s]er", "us?r", "\\user"];
    const limiters = names.map((name) => new AsyncRateLimiter({ ...HOUR, name, store: shared }));
    for (const limiter of limiters) {
      await limiter.check("ada");
      await limiter.check("ben");
    }
    const counts = async (key: string): Promise<number[]> =>
      Promise.all(limiters.map(async (limiter) => (await limiter.state(key)).calls));
    await limiters[2]?.reset();
    expectMatch(`calls of "ada" after reset() of "user*"`, await counts("ada"), [1, 1, 0, 1, 1, 1]);
    await limiters[4]?.reset();
    await limiters[5]?.reset();
    expectMatch(`calls of "ben" after reset() of three`, await counts("ben"), [1, 1, 0, 1, 0, 0]);
    await limiters[1]?.reset("ada");
    expectMatch(`calls of "ada" after reset("ada") of "user"`, await counts("ada"), [1, 0, 0, 1, 0, 0]);
    expectMatch(`calls of "ben" after reset("ada") of "user"`, await counts("ben"), [1, 1, 0, 1, 0, 0]);
    const again = (async () => new AsyncRateLimiter({ ...HOUR, name: "user", store: shared }))();
    const error = await rejectionOf("open() of a name that is open", again);
    expectThat("the error of a name that is open", "a RangeError", error, error instanceof RangeError);
  },

  "releases the name of a namespace that is closed, whose later calls and waiters reject": async ({ store }) => {
    const shared = store();
    const closed = new AsyncRateLimiter({ ...HOUR, name: "closed", store: shared });
    await closed.check("ada", { cost: 3 });
    const waiting = rejectionOf("a waiter of a closed limiter", closed.acquire("ada", { timeout: "2h" }));
    closed.close();
    closed.close();
    expectMatch("the error of a waiter", await waiting, { code: "LIMITER_CLOSED" });
    const later = await rejectionOf("check() of a closed limiter", closed.check("ben"));
    expectMatch("the error of a later call", later, { code: "LIMITER_CLOSED" });
    const limit = { maxCalls: 1, period: "1d", bypass: false } as const;
    const next = new AsyncRateLimiter({ ...limit, name: "closed", store: shared });
    expectMatch("the first call of 1", await next.isAllowed("ben"), true);
    expectMatch("the second call of 1", await next.isAllowed("ben"), false);
  },

  "forgets a thousand keys at once": async ({ store }) => {
    const limiter = new AsyncRateLimiter({ ...HOUR, store: store() });
    const keys = Array.from({ length: 1000 }, (_, at) => `key-${at}`);
    await Promise.all(keys.map((key) => limiter.check(key)));
    await limiter.reset();
    const states = await Promise.all(keys.map((key) => limiter.state(key)));
    const calls = states.reduce((sum, state) => sum + state.calls, 0);
    expectMatch("calls of a thousand keys after reset()", calls, 0);
  },

  "takes every string for a key like any other": async ({ store }) => {
    const limiter = new AsyncRateLimiter({ maxCalls: 1, period: "1h", bypass: false, store: store() });
    for (const allowed of [true, false]) {
      for (const key of KEYS) {
        expectMatch(`isAllowed(${JSON.stringify(key)})`, await limiter.isAllowed(key), allowed);
      }
    }
    await limiter.reset("a*");
    expectMatch(`isAllowed("a:b") after reset("a*")`, await limiter.isAllowed("a:b"), false);
  },

  "refuses a key of more than 1,024 characters with a RangeError that does not show it": async ({ store }) => {
    const shared = store();
    const limiter = new AsyncRateLimiter({ ...HOUR, name: "long", store: shared });
    const tiered = new TieredRateLimiter({ tiers: USER_TIERS, bypass: false, store: shared });
    const both = allOf({ limiter, other: new AsyncRateLimiter({ ...HOUR, name: "other", store: shared }) });
    const long = `secret-${"k".repeat(1018)}`;
    const calls = {
      isAllowed: limiter.isAllowed(long),
      check: limiter.check(long),
      peek: limiter.peek(long),
      acquire: limiter.acquire(long),
      state: limiter.state(long),
      reset: limiter.reset(long),
      "tiered.check": tiered.check(long, "free"),
      "tiered.reset": tiered.reset(long),
      "allOf.check": both.check({ limiter: "ada", other: long }),
      "allOf.reset": both.reset({ limiter: "ada", other: long }),
    };
    const errors = Object.entries(calls).map(([name, call]) => rejectionOf(`${name}() of a long key`, call));
    for (const error of await Promise.all(errors)) {
      expectThat("the error of a long key", "a RangeError", error, error instanceof RangeError);
      const { message } = error as Error;
      const pattern = /^Expected `(key|keys\.other)` .* 1,024 .*got `1025 characters` \(string\)$/;
      expectThat("the message about a long key", "without the key", message, pattern.test(message));
    }
    expectMatch(`state("ada")`, await limiter.state("ada"), { calls: 0 });
  },

  "admits exactly maxCalls of many calls at once": async ({ store }) => {
    const limiter = new AsyncRateLimiter({ maxCalls: 57, period: "1h", bypass: false, store: store() });
    const admitted = await Promise.all(Array.from({ length: 500 }, () => limiter.isAllowed("ada")));
    expectMatch("the calls admitted of 500 at a limit of 57", admitted.filter(Boolean).length, 57);
  },

  "admits waiters in their order as calls are refunded": async ({ store }) => {
    const limiter = new AsyncRateLimiter({ maxCalls: 1, period: "1h", bypass: false, store: store() });
    const held = await limiter.check("ada");
    const order: string[] = [];
    const waiting = ["first", "second"].map(async (who) => {
      const decision = await limiter.acquire("ada", { timeout: "2h" });
      order.push(who);
      await limiter.refund(decision);
    });
    await limiter.refund(held);
    await Promise.all(waiting);
    expectMatch("the order of the waiters", order, ["first", "second"]);
    await limiter.check("ada");
    const error = await rejectionOf("acquire() of a used limit", limiter.acquire("ada", { timeout: "5s" }));
    expectMatch("the error of acquire()", error, { code: "RATE_LIMIT_EXCEEDED" });
  },

  "counts a call of several keys in all of them or in none": async ({ store }) => {
    const shared = store();
    const limit = { period: "1h", bypass: false, store: shared } as const;
    const ip = new AsyncRateLimiter({ ...limit, maxCalls: 5, name: "ip" });
    const user = new AsyncRateLimiter({ ...limit, maxCalls: 1, name: "user" });
    const both = allOf({ ip, user });
    const keys = { ip: "10.0.0.1", user: "ada" };
    expectMatch("a call of two keys", await both.check(keys), { allowed: true });
    const refusedBy = "limit";
    const refused = { allowed: false, member: "user", refusedBy, members: { user: { refusedBy } } };
    expectMatch("a call that one of two keys refuses", await both.check(keys), refused);
    expectMatch("peek() of the other key", await ip.peek("10.0.0.1"), { remaining: 4 });
    const decision = await both.check({ ip: "10.0.0.1", user: null });
    expectMatch("the refund of a call of one key", await both.refund(decision), true);
    expectMatch("peek() of that key", await ip.peek("10.0.0.1"), { remaining: 4 });
  },
};

/** A limit whose first lock outlasts its window. */
const LOCKING = { ...HOUR, lockFor: ["2h", "3h"] } as const;

const LOCK_CHECKS: Readonly<Record<string, Check>> = {
  "locks a key by the refusal that finds no lock, up a ladder": async ({ store }) => {
    const limiter = new AsyncRateLimiter({ ...LOCKING, store: store() });
    const admitted = await limiter.check("ada", { cost: 3 });
    expectMatch("a call within the limit", admitted, { allowed: true, lockedForMs: 0, strikes: 0 });
    const refused = await limiter.check("ada");
    expectMatch("the first refusal", refused, { refusedBy: "limit", strikes: 1, remaining: 0 });
    const { lockedForMs, retryAfterMs } = refused;
    expectThat("lockedForMs", "two hours", lockedForMs, lockedForMs > 7_100_000 && lockedForMs <= 7_200_000);
    expectMatch("retryAfterMs", retryAfterMs, lockedForMs);
    const locked = { allowed: false, refusedBy: "lock", reason: "Locked", strikes: 1, remaining: 0 };
    expectMatch("the second refusal", await limiter.check("ada"), locked);
    expectMatch("peek()", await limiter.peek("ada"), locked);
    expectMatch("isAllowed()", await limiter.isAllowed("ada"), false);
    expectMatch(`state("ada")`, await limiter.state("ada"), { calls: 3, strikes: 1 });
    expectMatch("a call of another key", await limiter.check("ben"), { allowed: true, lockedForMs: 0, strikes: 0 });
    await limiter.lock("ada", "5ms");
    await sleep(50);
    expectMatch("peek() after the lock", await limiter.peek("ada"), { refusedBy: "limit", lockedForMs: 0, strikes: 1 });
    expectMatch("isAllowed() after the lock", await limiter.isAllowed("ada"), false);
    const second = await limiter.state("ada");
    const { lockedForMs: stepMs } = second;
    expectMatch("the state after the second lock", second, { calls: 3, strikes: 2 });
    expectThat("lockedForMs", "three hours", stepMs, stepMs > 10_700_000 && stepMs <= 10_800_000);
  },

  "counts one strike of many refusals at once, and records none of them": async ({ store }) => {
    const limiter = new AsyncRateLimiter({ ...LOCKING, store: store() });
    await limiter.check("ada", { cost: 3 });
    const refuse = (call: number): Promise<unknown> =>
      call % 2 === 0 ? limiter.check("ada") : limiter.isAllowed("ada");
    await Promise.all(Array.from({ length: 50 }, (_, call) => refuse(call)));
    expectMatch(`state("ada")`, await limiter.state("ada"), { calls: 3, strikes: 1 });
  },

  "counts no strike of a peek, a waiting call, a cost that is never admitted, and a limit reduced by load": async ({
    store,
  }) => {
    const limiter = new AsyncRateLimiter({ ...LOCKING, store: store() });
    await limiter.check("ada", { cost: 3 });
    await limiter.peek("ada");
    await limiter.check("ada", { cost: 4 });
    await limiter.isAllowed("ada", { maxCalls: 0 });
    await rejectionOf("acquire()", limiter.acquire("ada", { timeout: "5s" }));
    const unlocked = { lockedForMs: 0, strikes: 0, lockedUntil: null };
    expectMatch(`state("ada")`, await limiter.state("ada"), { calls: 3, ...unlocked });
    await limiter.isAllowed("ada", { maxCalls: 2 });
    expectMatch("state() after a refusal by the limit of a call", await limiter.state("ada"), { calls: 3, strikes: 1 });

    const { period, bypass, lockFor } = LOCKING;
    const adaptive = new AdaptiveRateLimiter({ baseMaxCalls: 4, period, bypass, lockFor, store: store() });
    adaptive.adjustForLoad(0.9, 0);
    await adaptive.check("ada", { cost: 2 });
    expectMatch("a refusal by load", await adaptive.check("ada"), { refusedBy: "load", lockedForMs: 0, strikes: 0 });
    expectMatch("a refusal by both", await adaptive.check("ada", { cost: 3 }), { refusedBy: "limit", strikes: 1 });
  },

  "locks a key by hand, with or without lockFor, and keeps its strikes": async ({ store }) => {
    for (const lockFor of [undefined, "2h" as const]) {
      const limiter = new AsyncRateLimiter({ ...HOUR, lockFor, store: store() });
      await limiter.lock("ada", "1h");
      const decision = await limiter.check("ada");
      expectMatch("a call of a locked key", decision, { refusedBy: "lock", strikes: 0, remaining: 0 });
      const { lockedForMs } = decision;
      expectThat("lockedForMs", "an hour", lockedForMs, lockedForMs > 3_500_000 && lockedForMs <= 3_600_000);
      await limiter.lock("ada", "5ms");
      await sleep(50);
      const admitted = { allowed: true, remaining: 2, lockedForMs: 0, strikes: 0 };
      expectMatch("a call after a shorter lock", await limiter.check("ada"), admitted);
    }
    const limiter = new AsyncRateLimiter({ ...LOCKING, store: store() });
    await limiter.check("ada", { cost: 3 });
    await limiter.check("ada");
    await limiter.lock("ada", "5h");
    expectMatch("state() of a lock by hand", await limiter.state("ada"), { calls: 3, strikes: 1 });
  },

  "forgets strikes after their time, counted from the end of the lock": async ({ store }) => {
    const limiter = new AsyncRateLimiter({ ...LOCKING, forgetAfter: "300ms", store: store() });
    await limiter.check("ada", { cost: 3 });
    await limiter.check("ada");
    await limiter.lock("ada", "5ms");
    await sleep(400);
    const unlocked = { calls: 3, lockedForMs: 0, strikes: 0, lockedUntil: null };
    expectMatch(`state("ada")`, await limiter.state("ada"), unlocked);
    expectMatch("the next refusal", await limiter.check("ada"), { refusedBy: "limit", strikes: 1 });
  },

  "unlocks and resets a key, unless it has been locked again": async ({ store }) => {
    const limiter = new AsyncRateLimiter({ ...LOCKING, store: store() });
    await limiter.check("ada", { cost: 3 });
    expectMatch("unlock() of a key without a lock", await limiter.unlock("ada"), false);
    expectMatch("unlock() of an unused key", await limiter.unlock("ben"), false);
    await limiter.check("ada");
    const { lockedUntil } = await limiter.state("ada");
    await limiter.lock("ada", "5h");
    expectMatch("unlock() of an earlier lock", await limiter.unlock("ada", { lockedUntil }), false);
    expectMatch("unlock() of no lock", await limiter.unlock("ada", { lockedUntil: null }), false);
    await limiter.reset("ada", { lockedUntil });
    await limiter.reset("ada", { lockedUntil: null });
    const latest = await limiter.state("ada");
    expectMatch("state() after them", latest, { calls: 3, strikes: 1 });
    const latestUntil = { lockedUntil: latest.lockedUntil };
    expectMatch("unlock() of the latest lock", await limiter.unlock("ada", latestUntil), true);
    const unlocked = { lockedForMs: 0, strikes: 0, lockedUntil: null };
    expectMatch("state() after unlock()", await limiter.state("ada"), { calls: 3, ...unlocked });
    await limiter.check("ada");
    const { lockedUntil: again } = await limiter.state("ada");
    await limiter.reset("ada", { lockedUntil: again });
    expectMatch("state() after reset()", await limiter.state("ada"), { calls: 0, ...unlocked });
    await limiter.check("ada");
    await limiter.reset("ada", { lockedUntil: null });
    expectMatch("state() after reset() of a key without a lock", await limiter.state("ada"), { calls: 0 });
    await limiter.lock("ada", "1h");
    await limiter.lock("ben", "1h");
    await limiter.reset();
    for (const key of ["ada", "ben"]) expectMatch("a call after reset()", await limiter.isAllowed(key), true);
  },

  "keeps the lock and the strikes of a key whose calls are refunded": async ({ store }) => {
    const limiter = new AsyncRateLimiter({ ...LOCKING, store: store() });
    const decision = await limiter.check("ada", { cost: 3 });
    await limiter.check("ada");
    expectMatch("the refund", await limiter.refund(decision), true);
    expectMatch(`state("ada")`, await limiter.state("ada"), { calls: 0, strikes: 1 });
    expectMatch("a call", await limiter.check("ada"), { refusedBy: "lock", strikes: 1 });
    await limiter.lock("ada", "5ms");
    await sleep(50);
    expectMatch("a call after the lock", await limiter.check("ada"), { allowed: true, remaining: 2, strikes: 1 });
    expectMatch("a second refund", await limiter.refund(decision), false);
  },

  "wakes a waiter when its key is unlocked": async ({ store }) => {
    const limiter = new AsyncRateLimiter({ ...LOCKING, store: store() });
    await limiter.lock("ada", "1h");
    const waiting = limiter.acquire("ada", { timeout: "2h" });
    await sleep(20);
    expectMatch("unlock()", await limiter.unlock("ada"), true);
    expectMatch("acquire()", await waiting, { allowed: true, remaining: 2 });
  },

  "locks only the first of several keys that refuses a call, and charges none if one is locked": async ({ store }) => {
    const shared = store();
    // Created in the listed order, which is the order of the checks in a store without `checkBatch`.
    const shadow = new AsyncRateLimiter({ ...LOCKING, name: "shadow", mode: "shadow", store: shared });
    const ip = new AsyncRateLimiter({ ...LOCKING, name: "ip", store: shared });
    const user = new AsyncRateLimiter({ ...LOCKING, name: "user", store: shared });
    const all = allOf({ shadow, ip, user });
    const keys = { shadow: "ada", ip: "10.0.0.1", user: "ada" };
    await all.check(keys, { cost: 3 });
    expectMatch("a call that all refuse", await all.check(keys), { allowed: false, refusedBy: "limit" });
    const strikes = {
      shadow: await shadow.state("ada"),
      ip: await ip.state("10.0.0.1"),
      user: await user.state("ada"),
    };
    expectMatch("the states", strikes, { shadow: { strikes: 1 }, ip: { strikes: 1 }, user: { strikes: 0 } });
    await user.reset();
    expectMatch("a call of a locked key", await all.check(keys), { allowed: false, member: "ip", refusedBy: "lock" });
    expectMatch("the state of the other key", await user.state("ada"), { calls: 0, strikes: 0 });
  },
};

const KEYS: readonly string[] = [
  "",
  " ",
  "*",
  "a*",
  "{a}",
  "__proto__",
  "a:b",
  "\0",
  "\r\n",
  "ключ",
  "🔑",
  "\ud800",
  "\ud801",
  "\ufffd",
  '\0utf-16:"\\ud800"',
  "k".repeat(1024),
  "🔑".repeat(512),
  "\ud800".repeat(1024),
];
