import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import { SCRIPT_OF_SEVERAL, SCRIPT } from "../../../src/redis/script.js";
import { type Admission, Model, type ModelLimit } from "../../support/model.js";
import { realRedis } from "../../support/redis/real-redis.js";
import { withoutRedis } from "../../support/redis/redis-process.js";

it("sha1 is the digest of each script", () => {
  for (const { text, sha1 } of [SCRIPT, SCRIPT_OF_SEVERAL]) {
    expect(sha1).toBe(createHash("sha1").update(text).digest("hex"));
  }
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
      const run = (key: string, ...words: (string | number)[]): Promise<unknown> =>
        redis.client.evalsha(SCRIPT.sha1, 1, key, ...words);
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
        const { limits, longest, key, model, recorded } = namespace;
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
              refunded === 0 ? model.admissions : model.admissions.filter((other) => other !== admission);
            continue;
          }
          expect([context, refunded]).toEqual([
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
        const cost = pick(3) === 0 ? 1 + pick(limits[0]!.maxCalls > 100 ? 40 : 4) : 1;
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
});
