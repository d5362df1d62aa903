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
import { type Admission, Model, type ModelDecision, type ModelLimit } from "../../support/model.js";
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

  it("agrees with the model on 2,000 runs of many calls, each alone and in order", { timeout: 240_000 }, async () => {
    const seed = Date.now() % 1_000_000;
    const pick = random(seed);
    const backend = new RedisBackend(connectionOf(redis.client));
    const LIMITS = NAMESPACES.slice(0, 8);
    const longestOf = (limits: readonly ModelLimit[]): number => Math.max(...limits.map(({ periodMs }) => periodMs));
    const models = new Map<string, Model>();
    const recorded: { key: string; limits: readonly ModelLimit[]; admission: Admission; epoch: number }[] = [];
    await redis.client.lpush("batch:list", "foreign");
    await redis.client.set("batch:text", "foreign");
    for (let run = 0; run < 2000; run += 1) {
      const context = `seed ${seed}, run ${run}`;
      const decision = (): Omit<DecisionCall, "method"> => {
        const at = pick(LIMITS.length);
        const limits = LIMITS[at]!;
        const key = pick(20) === 0 ? ["batch:list", "batch:text"][pick(2)]! : `batch:${at}:${pick(2)}`;
        const cost = pick(3) === 0 ? 1 + pick(limits[0]!.maxCalls > 100 ? 40 : 4) : 1;
        return { key, longestMs: longestOf(limits), locks: undefined, limits, cost, mayStrike: true };
      };
      const calls: RemoteCall[] = Array.from({ length: 1 + pick(12) }, (): RemoteCall => {
        const choice = pick(20);
        const { key, longestMs, limits } = decision();
        if (choice === 0 && recorded.length > 0) {
          const [refunded] = recorded.splice(pick(recorded.length), 1);
          const { admission, epoch } = refunded!;
          const longest = longestOf(refunded!.limits);
          const call = { method: "refund", key: refunded!.key, longestMs: longest, locks: undefined } as const;
          return { ...call, recorded: { ...admission, epoch } };
        }
        if (choice === 1) return { method: "state", key, longestMs, locks: undefined };
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
        return { ...given, limits, key, longestMs, cost: pick(2) === 0 ? 1 : given.cost, method: "check" };
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
      const expected = (given: Omit<DecisionCall, "method">, isRecorded: boolean): [ModelDecision, number] => {
        const model = modelOf(given.key);
        const newest = Math.max(ceiling, ...model.admissions.map(({ timestamp }) => timestamp));
        const { limits, cost } = given;
        return [isRecorded ? model.check("k", limits, cost, now, newest) : model.peek("k", limits, cost, now), newest];
      };
      const agrees = (given: Omit<DecisionCall, "method">, reply: DecisionReply, isRecorded: boolean): void => {
        const [wanted] = expected(given, isRecorded);
        expect([context, given.key, reply.passed]).toEqual([context, given.key, wanted.allowed]);
        const layers = reply.layers.map(({ used, remaining, retryAfterMs, moreAfterMs, resetAfterMs }) => {
          return { used, remaining, retryAfterMs, moreAfterMs, resetAfterMs };
        });
        const recordedNow = isRecorded && reply.passed;
        expect([context, given.key, layers]).toMatchObject([
          context,
          given.key,
          wanted.layers.map((layer) => ({
            used: layer.used,
            remaining: layer.remaining,
            retryAfterMs: recordedNow ? 0 : layer.retryAfterMs,
            moreAfterMs: layer.moreAfterMs,
            resetAfterMs: layer.resetAfterMs,
          })),
        ]);
        if (recordedNow) {
          const admission = modelOf(given.key).admissions.at(-1)!;
          recorded.push({ key: given.key, limits: given.limits, admission, epoch: reply.epoch });
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
          const unlocked = { lockedForMs: 0, strikes: 0, lockedUntil: null };
          const calls = modelOf(call.key).used("k", call.longestMs, now);
          expect([context, reply]).toEqual([context, { ...unlocked, calls, lastReset: now - call.longestMs }]);
        } else if (call.method === "refund") {
          const admission = modelOf(call.key).admissions.find(
            ({ timestamp, cost }) => timestamp === call.recorded.timestamp && cost === call.recorded.cost,
          );
          const isRefunded = admission !== undefined && modelOf(call.key).refund(admission, [call.longestMs], now);
          expect([context, reply]).toEqual([context, isRefunded]);
        } else if (call.method === "admit") {
          const [wanted] = expected(call, true);
          const { retryAfterMs } = reply as AdmitReply;
          expect([context, retryAfterMs === 0]).toEqual([context, wanted.allowed]);
          if (!wanted.allowed) {
            const first = wanted.layers.find(({ retryAfterMs }) => retryAfterMs > 0);
            expect([context, retryAfterMs]).toEqual([context, first!.retryAfterMs]);
          }
        } else if (call.method === "all") {
          const { isRecorded, members } = reply as AllReply;
          const passes = call.members.map((member) => expected(member, false)[0].allowed);
          expect([context, isRecorded]).toEqual([context, call.members.every((m, i) => !m.mayRefuse || passes[i])]);
          for (const [i, member] of call.members.entries()) {
            agrees(member, members[i]!, isRecorded && passes[i]!);
          }
        } else if ("limits" in call) agrees(call, reply as DecisionReply, call.method === "check");
      }
    }
  });
});
