import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import { connectionOf } from "../../../src/redis/clients.js";
import { RedisBackend } from "../../../src/redis/redis-backend.js";
import { SCRIPT } from "../../../src/redis/script.js";
import type {
  AdmitReply,
  AllReply,
  DecisionCall,
  DecisionReply,
  RemoteCall,
} from "../../../src/store/remote/backend.js";
import type { KeyState } from "../../../src/store/store.js";
import { type Admission, Model, type ModelLimit } from "../../support/model.js";
import { realRedis } from "../../support/redis/real-redis.js";
import { withoutRedis } from "../../support/redis/redis-process.js";

it("sha1 is the digest of the script", () => {
  expect(SCRIPT.sha1).toBe(createHash("sha1").update(SCRIPT.text).digest("hex"));
});

/** A random number generator whose seed reproduces a failure. */
function random(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

type FourAndMore = [number, number, number, number, ...number[]];

const NAMESPACES: readonly (readonly ModelLimit[])[] = [
  [{ maxCalls: 1, periodMs: 3 }],
  [{ maxCalls: 3, periodMs: 10 }],
  [{ maxCalls: 20, periodMs: 7 }],
  [
    { name: "Burst", maxCalls: 2, periodMs: 2 },
    { name: "Long", maxCalls: 5, periodMs: 20 },
  ],
  [
    { name: "Burst", maxCalls: 4, periodMs: 5 },
    { name: "Middle", maxCalls: 9, periodMs: 30 },
    { name: "Long", maxCalls: 100, periodMs: 500 },
  ],
  // Longer than the part that is read at once, and often so full that the ring wraps around.
  [{ maxCalls: 180, periodMs: 120 }],
  [{ maxCalls: 300, periodMs: 900 }],
  [
    { name: "Burst", maxCalls: 150, periodMs: 200 },
    { name: "Long", maxCalls: 700, periodMs: 2000 },
  ],
  [{ maxCalls: 40, periodMs: 3_600_000 }],
  [{ maxCalls: 6, periodMs: 9_000_000_000 }],
];

interface Policy {
  readonly stepsMs: readonly number[];
  readonly forgetAfterMs: number;
}

/** The lock of a key, by the rules alone. `until` is 0 without one. */
class LockModel {
  until = 0;
  strikes = 0;
  readonly #policy: Policy | undefined;

  constructor(policy: Policy | undefined) {
    this.#policy = policy;
  }

  /** Moves the time: what counts no longer is forgotten. */
  at(now: number): void {
    if (now >= this.until + (this.strikes > 0 ? (this.#policy?.forgetAfterMs ?? 0) : 0)) this.clear();
  }

  clear(): boolean {
    const { until } = this;
    [this.until, this.strikes] = [0, 0];
    return until > 0;
  }

  /** Locks the key after a strike at `now`, at least for `waitMs`. */
  strike(now: number, waitMs: number): void {
    const { stepsMs } = this.#policy!;
    this.strikes += 1;
    const stepMs = stepsMs[Math.min(this.strikes, stepsMs.length) - 1]!;
    this.until = now + Math.max(stepMs, waitMs);
  }
}

/** A few of these end while a test runs, and others never. */
const POLICIES: readonly (Policy | undefined)[] = [
  undefined,
  { stepsMs: [4], forgetAfterMs: 12 },
  { stepsMs: [1, 30, 2], forgetAfterMs: 100 },
  { stepsMs: [9, 3_600_000], forgetAfterMs: 5 },
];

describe.skipIf(withoutRedis !== undefined)("the script on a real server", () => {
  const redis = realRedis();

  it(
    "agrees with the model on 100,000 calls at the times of the server, and sets an expiry for each key",
    { timeout: 240_000 },
    async () => {
      const seed = Date.now() % 1_000_000;
      const pick = random(seed);
      await redis.client.script("LOAD", SCRIPT.text);
      const run = (key: string, method: string, ...words: (string | number)[]): Promise<unknown> =>
        redis.client.evalsha(SCRIPT.sha1, 1, key, method, 1, words.length, ...words);
      const nowOf = async (key: string, longest: number): Promise<number> =>
        Number(String(await run(key, "state", longest)).split(" ")[1]) + longest;
      const namespaces = NAMESPACES.map((limits, at) => ({
        limits,
        longest: Math.max(...limits.map(({ periodMs }) => periodMs)),
        key: `model:${at}`,
        model: new Model(),
        recorded: [] as { admission: Admission; epoch: number }[],
      }));
      for (let step = 0; step < 100_000; step += 1) {
        const namespace = namespaces[pick(namespaces.length)]!;
        const { longest, key, model, recorded } = namespace;
        // A call in three has its own depths: none, those of a neighbour, or twice as many.
        const isOwn = pick(3) === 0;
        const limits = namespace.limits.map((limit) =>
          isOwn ? { ...limit, maxCalls: pick(2 * limit.maxCalls + 1) } : limit,
        );
        const context = `seed ${seed}, step ${step}`;
        const choice = pick(100);
        if (choice < 4 && recorded.length > 0) {
          // Once only, as a receipt does: the script cannot see whose timestamps it removes.
          const [{ admission, epoch }] = recorded.splice(Math.max(0, recorded.length - 1 - pick(4)), 1) as [
            (typeof recorded)[number],
          ];
          const before = await nowOf(key, longest);
          const refunded = await run(key, "refund", longest, epoch, admission.timestamp, admission.cost);
          const after = await nowOf(key, longest);
          // The admission expired between the two calls, so either result is right.
          const at = [before, after].map((now) => admission.timestamp > now - longest);
          if (at[0] !== at[1]) {
            model.admissions =
              Number(refunded) === 0 ? model.admissions : model.admissions.filter((other) => other !== admission);
            continue;
          }
          expect([context, Number(refunded)]).toEqual([
            context,
            model.refund(admission, [longest], after) ? admission.cost : 0,
          ]);
          continue;
        }
        if (choice < 5) {
          await redis.client.del(key);
          model.reset();
          continue;
        }
        const cost = pick(3) === 0 ? 1 + pick(namespace.limits[0]!.maxCalls > 100 ? 40 : 4) : 1;
        const method = pick(5) === 0 ? "peek" : "check";
        const words = limits.flatMap(({ maxCalls, periodMs }) => [maxCalls, periodMs]);
        const reply = String(await run(key, method, longest, cost, ...words));
        const [admitted, epoch, now, newest, ...layers] = reply.split(" ").map(Number) as FourAndMore;
        const timestamp = now + newest;
        const expected =
          method === "check" && admitted === 1
            ? model.check("k", limits, cost, now, timestamp)
            : model.peek("k", limits, cost, now);
        expect([context, admitted === 1]).toEqual([context, expected.allowed]);
        const orNever = (ms: number): number => (ms === Infinity ? -1 : ms);
        const flat = expected.layers.flatMap((layer) => [
          layer.used,
          method === "check" && admitted === 1 ? 0 : orNever(layer.retryAfterMs),
          orNever(layer.moreAfterMs),
        ]);
        expect([context, ...layers]).toEqual([context, ...flat]);
        for (const { periodMs, resetAfterMs } of expected.layers) {
          expect([context, Math.max(0, newest + periodMs)]).toEqual([context, resetAfterMs]);
        }
        if (method === "check" && admitted === 1) {
          recorded.push({ admission: model.admissions.at(-1)!, epoch });
          expect(timestamp - now === 0 || timestamp - now === 1).toBe(true);
          const ttl = await redis.client.pttl(key);
          expect(ttl).toBeGreaterThanOrEqual(-2);
          expect(ttl).toBeLessThanOrEqual(longest + 1);
          expect(ttl).not.toBe(-1);
        }
      }
    },
  );

  it("agrees with the model on 60,000 calls of keys with locks and strikes", { timeout: 240_000 }, async () => {
    const seed = Date.now() % 1_000_000;
    const pick = random(seed);
    const backend = new RedisBackend(connectionOf(redis.client));
    const send = async (call: RemoteCall): Promise<unknown> => (await backend.execute([call], () => false))[0];
    const keys = NAMESPACES.slice(0, 8).flatMap((limits, at) =>
      POLICIES.map((locks, policy) => ({
        own: { key: `locks:${at}:${policy}`, longestMs: Math.max(...limits.map(({ periodMs }) => periodMs)), locks },
        limits,
        model: new Model(),
        lock: new LockModel(locks),
        recorded: [] as { admission: Admission; epoch: number }[],
      })),
    );
    const outcomes = { strikes: 0, locked: 0, admittedWithStrikes: 0, unlocked: 0, sparedByLoad: 0 };
    for (let step = 0; step < 60_000; step += 1) {
      const { own, limits, model, lock, recorded } = keys[pick(keys.length)]!;
      const context = `seed ${seed}, step ${step}, ${own.key}`;
      const state = async (): Promise<KeyState> => (await send({ method: "state", ...own })) as KeyState;
      const choice = pick(100);
      if (choice < 3) {
        const ms = 1 + pick(40);
        const before = (await state()).lastReset + own.longestMs;
        lock.at(before);
        await send({ method: "lock", ...own, ms });
        const { lockedUntil, strikes, lastReset } = await state();
        const now = lastReset + own.longestMs;
        // It has ended, or its strikes were forgotten between the calls.
        if (lockedUntil === null || strikes !== lock.strikes) lock.strikes = strikes;
        else expect([context, lockedUntil >= before + ms, lockedUntil <= now + ms]).toEqual([context, true, true]);
        lock.until = lockedUntil ?? 0;
      } else if (choice < 6) {
        const { lockedUntil, lastReset } = await state();
        lock.at(lastReset + own.longestMs);
        expect([context, lockedUntil ?? 0]).toEqual([context, lock.until]);
        const wanted = [undefined, lockedUntil, lock.until + 1][pick(3)];
        const method = pick(4) === 0 ? "reset" : "unlock";
        const isDone = await send({ method, ...own, lockedUntil: wanted });
        lock.at((await state()).lastReset + own.longestMs);
        const isOther = wanted === lock.until + 1;
        if (isOther && lock.until > 0) expect([context, isDone]).toEqual([context, false]);
        else if (isDone) {
          lock.clear();
          outcomes.unlocked += 1;
          if (method === "reset") model.reset();
        } else expect([context, lock.until]).toEqual([context, 0]);
      } else if (choice < 9 && recorded.length > 0) {
        const [{ admission, epoch }] = recorded.splice(-1) as [(typeof recorded)[number]];
        const before = (await state()).lastReset;
        const isRefunded = await send({ method: "refund", ...own, recorded: { ...admission, epoch } });
        const after = (await state()).lastReset;
        // It expired between the calls, so either result is right.
        if (admission.timestamp > before && admission.timestamp <= after) {
          if (isRefunded === true) model.admissions = model.admissions.filter((other) => other !== admission);
        } else
          expect([context, isRefunded]).toEqual([
            context,
            model.refund(admission, [own.longestMs], after + own.longestMs),
          ]);
      } else {
        const cost = pick(3) === 0 ? 1 + pick(limits[0]!.maxCalls > 100 ? 60 : 3) : 1;
        const isReduced = pick(4) === 0;
        const full = limits.map((limit) => ({ ...limit, maxCalls: Math.max(1, limit.maxCalls - pick(2)) }));
        const inForce = isReduced
          ? full.map((limit) => ({ ...limit, maxCalls: pick(limit.maxCalls), reducedFrom: limit.maxCalls }))
          : full;
        const mayStrike = pick(5) > 0;
        const method = (["admit", "check", "check", "peek"] as const)[pick(4)]!;
        // In one run with a call that shows its time.
        const shown: DecisionCall = {
          method: "peek",
          key: "no such key",
          longestMs: 1,
          locks: undefined,
          limits: [{ maxCalls: 1, periodMs: 1 }],
          cost: 1,
          mayStrike,
        };
        const [time, reply] = await backend.execute(
          [
            { ...shown, method: "state" },
            { method, ...own, limits: inForce, cost, mayStrike },
          ],
          () => false,
        );
        const now = (time as KeyState).lastReset + 1;
        lock.at(now);
        const wasLocked = lock.until > now;
        const log = model.peek("k", inForce, cost, now);
        const isAllowed = log.allowed && !wasLocked;
        const ofFull = model.peek("k", full, cost, now);
        const { retryAfterMs } = ofFull;
        const isStrike = !log.allowed && !wasLocked && mayStrike && method !== "peek" && own.locks !== undefined;
        const strikes = isStrike && retryAfterMs > 0 && retryAfterMs < Infinity;
        if (isStrike && retryAfterMs === 0) outcomes.sparedByLoad += 1;
        if (strikes) lock.strike(now, retryAfterMs);
        const leftMs = Math.max(0, lock.until - now);
        if (method === "admit") {
          const { retryAfterMs: waitMs, lockedForMs } = reply as AdmitReply;
          expect([context, waitMs === 0]).toEqual([context, isAllowed]);
          expect([context, lockedForMs]).toEqual([context, leftMs]);
        } else {
          const decision = reply as DecisionReply;
          expect([context, decision.passed]).toEqual([context, isAllowed]);
          expect([context, decision.lock?.lockedForMs ?? 0]).toEqual([context, leftMs]);
          const { refuses = false, strikes: count = 0 } = decision.lock ?? {};
          expect([context, refuses, count]).toEqual([context, wasLocked, lock.strikes]);
          const waits = decision.layers.map(({ used, retryAfterMs: ms }) => [used, ms]);
          const expected = method === "check" && isAllowed ? undefined : log.layers;
          if (expected !== undefined) {
            expect([context, waits]).toEqual([context, expected.map(({ used, retryAfterMs: ms }) => [used, ms])]);
          }
        }
        outcomes.strikes += Number(strikes);
        outcomes.locked += Number(wasLocked);
        if (!isAllowed || method === "peek") continue;
        outcomes.admittedWithStrikes += Number(lock.strikes > 0);
        // The timestamp of `admit` is not known.
        const { epoch, timestamp } =
          method === "check"
            ? (reply as DecisionReply)
            : ((await send({ method: "peek", ...own, limits, cost: 1, mayStrike })) as DecisionReply);
        model.check("k", inForce, cost, now, timestamp);
        recorded.push({ admission: model.admissions.at(-1)!, epoch });
        const ttl = await redis.client.pttl(own.key);
        expect([context, ttl === -1]).toEqual([context, false]);
        const keptMs = Math.max(own.longestMs, lock.until + (own.locks?.forgetAfterMs ?? 0) - now);
        expect([context, ttl <= keptMs + 1]).toEqual([context, true]);
      }
    }
    expect(Object.values(outcomes).every((count) => count > 100) ? outcomes : JSON.stringify(outcomes)).toBe(outcomes);
  });

  it("agrees with the model on 2,000 runs of many calls, each alone and in order", { timeout: 240_000 }, async () => {
    const seed = Date.now() % 1_000_000;
    const pick = random(seed);
    const backend = new RedisBackend(connectionOf(redis.client));
    const LIMITS = NAMESPACES.slice(0, 8);
    const longestOf = (limits: readonly ModelLimit[]): number => Math.max(...limits.map(({ periodMs }) => periodMs));
    const models = new Map<string, Model>();
    const locksOf = new Map<string, LockModel>();
    const recorded: { of: Pick<DecisionCall, "key" | "longestMs" | "locks">; admission: Admission; epoch: number }[] =
      [];
    await redis.client.lpush("batch:list", "foreign");
    await redis.client.set("batch:text", "foreign");
    for (let run = 0; run < 2000; run += 1) {
      const context = `seed ${seed}, run ${run}`;
      const decision = (): Omit<DecisionCall, "method"> => {
        const at = pick(LIMITS.length);
        const limits = LIMITS[at]!;
        const key = pick(20) === 0 ? ["batch:list", "batch:text"][pick(2)]! : `batch:${at}:${pick(2)}`;
        const cost = pick(3) === 0 ? 1 + pick(limits[0]!.maxCalls > 100 ? 40 : 4) : 1;
        return { key, longestMs: longestOf(limits), locks: POLICIES[at % 4], limits, cost, mayStrike: pick(5) > 0 };
      };
      const calls: RemoteCall[] = Array.from({ length: 1 + pick(12) }, (): RemoteCall => {
        const choice = pick(20);
        const { key, longestMs, locks } = decision();
        if (choice === 0 && recorded.length > 0) {
          const [refunded] = recorded.splice(pick(recorded.length), 1);
          const { of, admission, epoch } = refunded!;
          return { method: "refund", ...of, recorded: { ...admission, epoch } };
        }
        if (choice === 1) return { method: "state", key, longestMs, locks };
        if (choice < 5) {
          const members = new Map(
            Array.from({ length: 1 + pick(4) }, () => {
              const member = { ...decision(), mayRefuse: pick(3) > 0 };
              return [member.key, member] as const;
            }),
          );
          return { method: "all", members: [...members.values()] };
        }
        const given = decision();
        return { ...given, cost: pick(2) === 0 ? 1 : given.cost, method: "check" };
      }).map((call) =>
        call.method === "check" ? { ...call, method: (["admit", "check", "check", "peek"] as const)[pick(4)]! } : call,
      );
      // A new key, which shows the time of the run and the timestamp of a call that is recorded in it.
      const fresh: RemoteCall = {
        method: "check",
        key: `fresh:${run}`,
        longestMs: 1,
        locks: undefined,
        limits: [{ maxCalls: 1, periodMs: 1 }] as never,
        cost: 1,
        mayStrike: true,
      };
      const [clock, ...replies] = await backend.execute([fresh, ...calls], () => false);
      const ceiling = (clock as DecisionReply).timestamp;
      const now = ceiling + 1 - (clock as DecisionReply).layers[0]!.moreAfterMs;
      const modelOf = (key: string): Model => models.get(key) ?? models.set(key, new Model()).get(key)!;
      const lockOf = ({ key, locks }: Pick<DecisionCall, "key" | "locks">): LockModel => {
        const lock = locksOf.get(key) ?? new LockModel(locks);
        locksOf.set(key, lock);
        lock.at(now);
        return lock;
      };
      const passes = (given: Omit<DecisionCall, "method">): boolean =>
        lockOf(given).until <= now && modelOf(given.key).peek("k", given.limits, given.cost, now).allowed;
      /** Whether a refusal is a strike, if no other member refuses before. */
      const mayStrike = (given: Omit<DecisionCall, "method">): boolean => {
        const { retryAfterMs } = modelOf(given.key).peek("k", given.limits, given.cost, now);
        const isUnlocked = lockOf(given).until <= now;
        return (
          isUnlocked && given.locks !== undefined && given.mayStrike && retryAfterMs > 0 && retryAfterMs < Infinity
        );
      };
      const locksAs = (given: Omit<DecisionCall, "method">, lockedForMs: number, isStrike: boolean): void => {
        const lock = lockOf(given);
        const { retryAfterMs } = modelOf(given.key).peek("k", given.limits, given.cost, now);
        if (isStrike) lock.strike(now, retryAfterMs);
        expect([context, given.key, lockedForMs]).toEqual([context, given.key, Math.max(0, lock.until - now)]);
      };
      const agrees = (
        given: Omit<DecisionCall, "method">,
        reply: DecisionReply,
        isRecorded: boolean,
        isStrike: boolean,
      ): void => {
        const [model, { limits, cost, key }] = [modelOf(given.key), given];
        const wasLocked = lockOf(given).until > now;
        const isAllowed = passes(given);
        const newest = Math.max(ceiling, ...model.admissions.map(({ timestamp }) => timestamp));
        expect([context, key, reply.passed]).toEqual([context, key, isAllowed]);
        const recordedNow = isRecorded && isAllowed;
        locksAs(given, reply.lock?.lockedForMs ?? 0, isStrike);
        const { refuses = false, strikes = 0 } = reply.lock ?? {};
        expect([context, key, refuses, strikes]).toEqual([context, key, wasLocked, lockOf(given).strikes]);
        const wanted = recordedNow ? model.check("k", limits, cost, now, newest) : model.peek("k", limits, cost, now);
        const layers = reply.layers.map(({ used, remaining, retryAfterMs, moreAfterMs, resetAfterMs }) => {
          return { used, remaining, retryAfterMs, moreAfterMs, resetAfterMs };
        });
        const expected = wanted.layers.map((layer) => ({
          used: layer.used,
          remaining: layer.remaining,
          retryAfterMs: recordedNow ? 0 : layer.retryAfterMs,
          moreAfterMs: layer.moreAfterMs,
          resetAfterMs: layer.resetAfterMs,
        }));
        expect([context, key, layers]).toEqual([context, key, expected]);
        if (recordedNow) {
          const of = { key, longestMs: given.longestMs, locks: given.locks };
          recorded.push({ of, admission: model.admissions.at(-1)!, epoch: reply.epoch });
        }
      };
      for (const [at, call] of calls.entries()) {
        const reply = replies[at];
        const keys = call.method === "all" ? call.members.map(({ key }) => key) : [call.key];
        if (keys.some((key) => key === "batch:list" || key === "batch:text")) {
          expect([context, reply]).toEqual([context, expect.any(Error)]);
          expect(String(reply)).toMatch(/SLUICEGATE|WRONGTYPE/);
          continue;
        }
        if (call.method === "state") {
          const { until, strikes } = lockOf(call);
          const calls = modelOf(call.key).used("k", call.longestMs, now);
          const locked = { lockedForMs: Math.max(0, until - now), strikes, lockedUntil: until === 0 ? null : until };
          expect([context, reply]).toEqual([context, { ...locked, calls, lastReset: now - call.longestMs }]);
        } else if (call.method === "refund") {
          const admission = modelOf(call.key).admissions.find(
            ({ timestamp, cost }) => timestamp === call.recorded.timestamp && cost === call.recorded.cost,
          );
          const isRefunded = admission !== undefined && modelOf(call.key).refund(admission, [call.longestMs], now);
          expect([context, reply]).toEqual([context, isRefunded]);
        } else if (call.method === "admit") {
          const { retryAfterMs, lockedForMs } = reply as AdmitReply;
          const model = modelOf(call.key);
          const isAllowed = passes(call);
          expect([context, retryAfterMs === 0]).toEqual([context, isAllowed]);
          const first = model.peek("k", call.limits, call.cost, now).layers.find((layer) => layer.retryAfterMs > 0);
          locksAs(call, lockedForMs, mayStrike(call));
          if (!isAllowed) expect([context, retryAfterMs]).toEqual([context, lockedForMs || first!.retryAfterMs]);
          const newest = Math.max(ceiling, ...model.admissions.map(({ timestamp }) => timestamp));
          if (isAllowed) model.check("k", call.limits, call.cost, now, newest);
        } else if (call.method === "all") {
          const { isRecorded, members } = reply as AllReply;
          const outcomes = call.members.map((member) => ({
            ...member,
            passes: passes(member),
            strikes: mayStrike(member),
          }));
          expect([context, isRecorded]).toEqual([context, outcomes.every((one) => !one.mayRefuse || one.passes)]);
          for (const [i, member] of call.members.entries()) {
            const earlier = outcomes.slice(0, i).filter((one) => !one.passes && (one.mayRefuse || !member.mayRefuse));
            agrees(member, members[i]!, isRecorded, outcomes[i]!.strikes && earlier.length === 0);
          }
        } else if ("limits" in call) {
          agrees(call, reply as DecisionReply, call.method === "check", call.method === "check" && mayStrike(call));
        }
      }
    }
  });
});
