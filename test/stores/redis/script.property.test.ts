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
import { type Admission, Model, type ModelDecision, type ModelLimit, type ModelPolicy } from "../../support/model.js";
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

/** A few of these end while a test runs, and others never. */
const POLICIES: readonly (ModelPolicy | undefined)[] = [
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
    const keys = NAMESPACES.slice(0, 8).flatMap((limits, at) =>
      POLICIES.map((locks, policy) => ({
        own: { key: `locks:${at}:${policy}`, longestMs: Math.max(...limits.map(({ periodMs }) => periodMs)), locks },
        limits,
        model: new Model(locks),
        recorded: [] as { admission: Admission; epoch: number }[],
      })),
    );
    const outcomes = { strikes: 0, locked: 0, admittedWithStrikes: 0, unlocked: 0, sparedByLoad: 0 };
    for (let step = 0; step < 60_000; step += 1) {
      const { own, limits, model, recorded } = keys[pick(keys.length)]!;
      const context = `seed ${seed}, step ${step}, ${own.key}`;
      /** Executes calls in one run, and returns the time of the run and the replies. */
      const run = async (...calls: RemoteCall[]): Promise<[now: number, reply: unknown, next?: unknown]> => {
        const state: RemoteCall = { method: "state", key: "no such key", longestMs: 1, locks: undefined };
        const [time, reply, next] = await backend.execute([state, ...calls], () => false);
        return [(time as KeyState).lastReset + 1, reply, next];
      };
      const choice = pick(100);
      if (choice < 3) {
        const ms = 1 + pick(40);
        const [now] = await run({ method: "lock", ...own, ms });
        model.lock("k", ms, now);
      } else if (choice < 6) {
        const [before, state] = await run({ method: "state", ...own });
        const { lockedUntil } = state as KeyState;
        expect([context, state]).toMatchObject([context, model.lockOf("k", before)]);
        const given = [undefined, lockedUntil, (lockedUntil ?? 0) + 1][pick(3)];
        const method = pick(4) === 0 ? "reset" : "unlock";
        const [now, isDone] = await run({ method, ...own, lockedUntil: given });
        const latest = model.lockOf("k", now).lockedUntil;
        const isNewer = latest !== null && given !== undefined && given !== latest;
        if (method === "reset") model.reset("k", now, given);
        expect([context, isDone]).toEqual([context, method === "reset" ? !isNewer : model.unlock("k", now, given)]);
        outcomes.unlocked += Number(latest !== null && isDone);
      } else if (choice < 9 && recorded.length > 0) {
        const [{ admission, epoch }] = recorded.splice(-1) as [(typeof recorded)[number]];
        const [now, isRefunded] = await run({ method: "refund", ...own, recorded: { ...admission, epoch } });
        expect([context, isRefunded]).toEqual([context, model.refund(admission, [own.longestMs], now)]);
      } else {
        const cost = pick(3) === 0 ? 1 + pick(limits[0]!.maxCalls > 100 ? 60 : 3) : 1;
        const full = limits.map((limit) => ({ ...limit, maxCalls: Math.max(1, limit.maxCalls - pick(2)) }));
        const isReduced = pick(4) === 0;
        const inForce = isReduced
          ? full.map((limit) => ({ ...limit, maxCalls: pick(limit.maxCalls), reducedFrom: limit.maxCalls }))
          : full;
        const mayStrike = pick(5) > 0;
        const method = (["admit", "check", "check", "peek"] as const)[pick(4)]!;
        const call = { ...own, limits: inForce, cost, mayStrike };
        // The second call shows the timestamp that the first recorded.
        const [now, reply, shown] = await run({ method, ...call }, { method: "peek", ...call });
        const { epoch, timestamp } = shown as DecisionReply;
        const { strikes: strikesBefore } = model.lockOf("k", now);
        const expected =
          method === "peek"
            ? model.peek("k", inForce, cost, now)
            : model.check("k", inForce, cost, now, timestamp, mayStrike);
        const { allowed, refusedBy, lockedForMs, strikes } = expected;
        if (method === "admit") {
          const { retryAfterMs, lockedForMs: ms } = reply as AdmitReply;
          expect([context, retryAfterMs === 0, ms]).toEqual([context, allowed, lockedForMs]);
        } else {
          const { passed, layers, lock } = reply as DecisionReply;
          const waitsOf = (of: readonly { used: number; retryAfterMs: number }[]): number[][] =>
            of.map(({ used, retryAfterMs }) => [used, retryAfterMs]);
          expect([context, passed, waitsOf(layers)]).toEqual([context, allowed, waitsOf(expected.layers)]);
          expect([context, lock ?? { lockedForMs: 0, strikes: 0, refuses: false }]).toEqual([
            context,
            { lockedForMs, strikes, refuses: refusedBy === "lock" },
          ]);
        }
        const mayHaveStruck = method !== "peek" && mayStrike && own.locks !== undefined && refusedBy === "limit";
        outcomes.strikes += Number(strikes > strikesBefore);
        outcomes.sparedByLoad += Number(mayHaveStruck && isReduced && strikes === strikesBefore);
        outcomes.locked += Number(refusedBy === "lock");
        if (!allowed || method === "peek") continue;
        outcomes.admittedWithStrikes += Number(strikes > 0);
        recorded.push({ admission: model.admissions.at(-1)!, epoch });
        const ttl = await redis.client.pttl(own.key);
        expect([context, ttl === -1]).toEqual([context, false]);
        const forgottenMs = (model.lockOf("k", now).lockedUntil ?? 0) + (own.locks?.forgetAfterMs ?? 0) - now;
        expect([context, ttl <= Math.max(own.longestMs, forgottenMs) + 1]).toEqual([context, true]);
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
      type Given = Omit<DecisionCall, "method">;
      const modelOf = ({ key, locks }: Pick<Given, "key" | "locks">): Model => {
        const model = models.get(key) ?? new Model(locks);
        models.set(key, model);
        return model;
      };
      const passes = (given: Given): boolean => modelOf(given).peek("k", given.limits, given.cost, now).allowed;
      /** The decision about a call that is recorded if it passes, and strikes if it does not; else the one of a peek. */
      const decided = (given: Given, isRecorded: boolean, mayStrike: boolean): ModelDecision => {
        const { limits, cost } = given;
        const model = modelOf(given);
        const newest = Math.max(ceiling, ...model.admissions.map(({ timestamp }) => timestamp));
        if (passes(given) && !isRecorded) return model.peek("k", limits, cost, now);
        return model.check("k", limits, cost, now, newest, mayStrike);
      };
      const agrees = (given: Given, reply: DecisionReply, isRecorded: boolean, mayStrike: boolean): void => {
        const { key, longestMs, locks } = given;
        const wanted = decided(given, isRecorded, mayStrike);
        expect([context, key, reply.passed]).toEqual([context, key, wanted.allowed]);
        const { lockedForMs, strikes } = wanted;
        expect([context, key, reply.lock ?? { lockedForMs: 0, strikes: 0, refuses: false }]).toEqual([
          context,
          key,
          { lockedForMs, strikes, refuses: wanted.refusedBy === "lock" },
        ]);
        const timesOf = (layers: readonly Omit<ModelDecision["layers"][number], "name">[]): number[][] =>
          layers.map(({ used, remaining, retryAfterMs, moreAfterMs, resetAfterMs }) => {
            return [used, remaining, retryAfterMs, moreAfterMs, resetAfterMs];
          });
        expect([context, key, timesOf(reply.layers)]).toEqual([context, key, timesOf(wanted.layers)]);
        if (isRecorded && wanted.allowed) {
          const admission = modelOf(given).admissions.at(-1)!;
          recorded.push({ of: { key, longestMs, locks }, admission, epoch: reply.epoch });
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
          const { key, longestMs } = call;
          const calls = modelOf(call).used("k", longestMs, now);
          const wanted = { ...modelOf(call).lockOf("k", now), calls, lastReset: now - longestMs };
          expect([context, key, reply]).toEqual([context, key, wanted]);
        } else if (call.method === "refund") {
          const model = modelOf(call);
          const admission = model.admissions.find(
            ({ timestamp, cost }) => timestamp === call.recorded.timestamp && cost === call.recorded.cost,
          );
          const isRefunded = admission !== undefined && model.refund(admission, [call.longestMs], now);
          expect([context, reply]).toEqual([context, isRefunded]);
        } else if (call.method === "admit") {
          const { retryAfterMs, lockedForMs } = reply as AdmitReply;
          const wanted = decided(call, true, call.mayStrike);
          const first = wanted.layers.find((layer) => layer.retryAfterMs > 0);
          const waitMs = wanted.allowed ? 0 : wanted.lockedForMs || first?.retryAfterMs;
          expect([context, retryAfterMs, lockedForMs]).toEqual([context, waitMs, wanted.lockedForMs]);
        } else if (call.method === "all") {
          const { isRecorded, members } = reply as AllReply;
          const refused = call.members.filter((member) => !passes(member));
          expect([context, isRecorded]).toEqual([context, refused.every(({ mayRefuse }) => !mayRefuse)]);
          for (const [i, member] of call.members.entries()) {
            const before = call.members.slice(0, i).filter((one) => refused.includes(one));
            const isFirst = before.every(({ mayRefuse }) => member.mayRefuse && !mayRefuse);
            agrees(member, members[i]!, isRecorded, member.mayStrike && isFirst);
          }
        } else if ("limits" in call) {
          const isCheck = call.method === "check";
          agrees(call, reply as DecisionReply, isCheck, isCheck && call.mayStrike);
        }
      }
    }
  });
});
