import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import { SCRIPT_OF_SEVERAL, SCRIPT } from "../../../src/redis/script.js";
import { type Admission, Model, type ModelLimit } from "../../support/model.js";
import { realRedis } from "../../support/redis/real-redis.js";
import { withoutRedis } from "../../support/redis/redis-process.js";

it("the digest of the script is the script's", () => {
  for (const { text, sha1 } of [SCRIPT, SCRIPT_OF_SEVERAL]) {
    expect(sha1).toBe(createHash("sha1").update(text).digest("hex"));
  }
});

/** A small generator of its own, so that a failure is repeated by its seed. */
function random(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

type FourAndMore = [number, number, number, number, ...number[]];

const SPACES: readonly (readonly ModelLimit[])[] = [
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
  // Deeper than what is read whole, and often so full that the ring goes round.
  [{ maxCalls: 180, periodMs: 120 }],
  [{ maxCalls: 300, periodMs: 900 }],
  [
    { name: "Burst", maxCalls: 150, periodMs: 200 },
    { name: "Long", maxCalls: 700, periodMs: 2000 },
  ],
  [{ maxCalls: 40, periodMs: 3_600_000 }],
  [{ maxCalls: 6, periodMs: 9_000_000_000 }],
];

describe.skipIf(withoutRedis !== undefined)("the script, on a real server", () => {
  const redis = realRedis();

  it(
    "agrees with brute force on 100,000 calls, at the times it says, and each key expires",
    { timeout: 240_000 },
    async () => {
      const seed = Date.now() % 1_000_000;
      const pick = random(seed);
      await redis.client.script("LOAD", SCRIPT.text);
      const run = (key: string, ...words: (string | number)[]): Promise<unknown> =>
        redis.client.evalsha(SCRIPT.sha1, 1, key, ...words);
      const nowOf = async (key: string, longest: number): Promise<number> =>
        Number(String(await run(key, "state", longest)).split(" ")[1]) + longest;
      const spaces = SPACES.map((limits, at) => ({
        limits,
        longest: Math.max(...limits.map(({ periodMs }) => periodMs)),
        key: `model:${at}`,
        model: new Model(),
        spent: [] as { admission: Admission; epoch: number }[],
      }));
      for (let step = 0; step < 100_000; step += 1) {
        const space = spaces[pick(spaces.length)]!;
        const { limits, longest, key, model, spent } = space;
        const said = `seed ${seed}, step ${step}`;
        const what = pick(100);
        if (what < 4 && spent.length > 0) {
          // Once, as a receipt does it: the script itself knows stamps, and not whose they are.
          const [{ admission, epoch }] = spent.splice(Math.max(0, spent.length - 1 - pick(4)), 1) as [
            (typeof spent)[number],
          ];
          const before = await nowOf(key, longest);
          const taken = await run(key, "refund", longest, epoch, admission.timestamp, admission.cost);
          const after = await nowOf(key, longest);
          // Time went on between the calls: what expired meanwhile may have been in time or not.
          const at = [before, after].map((now) => admission.timestamp > now - longest);
          if (at[0] !== at[1]) {
            model.admissions = taken === 0 ? model.admissions : model.admissions.filter((other) => other !== admission);
            continue;
          }
          expect([said, taken]).toEqual([said, model.refund(admission, [longest], after) ? admission.cost : 0]);
          continue;
        }
        if (what < 5) {
          await redis.client.del(key);
          model.reset();
          continue;
        }
        const cost = pick(3) === 0 ? 1 + pick(limits[0]!.maxCalls > 100 ? 40 : 4) : 1;
        const verb = pick(5) === 0 ? "peek" : "check";
        const words = limits.flatMap(({ maxCalls, periodMs }) => [maxCalls, periodMs]);
        const reply = String(await run(key, verb, longest, cost, ...words));
        const [passed, epoch, now, newest, ...layers] = reply.split(" ").map(Number) as FourAndMore;
        const stamp = now + newest;
        const expected =
          verb === "check" && passed === 1
            ? model.check("k", limits, cost, now, stamp)
            : model.peek("k", limits, cost, now);
        expect([said, passed === 1]).toEqual([said, expected.allowed]);
        const never = (ms: number): number => (ms === Infinity ? -1 : ms);
        const flat = expected.layers.flatMap((layer) => [
          layer.used,
          verb === "check" && passed === 1 ? 0 : never(layer.retryAfterMs),
          never(layer.moreAfterMs),
        ]);
        expect([said, ...layers]).toEqual([said, ...flat]);
        for (const { periodMs, resetAfterMs } of expected.layers) {
          expect([said, Math.max(0, newest + periodMs)]).toEqual([said, resetAfterMs]);
        }
        if (verb === "check" && passed === 1) {
          spent.push({ admission: model.admissions.at(-1)!, epoch });
          expect(stamp - now === 0 || stamp - now === 1).toBe(true);
          const ttl = await redis.client.pttl(key);
          expect(ttl).toBeGreaterThanOrEqual(-2);
          expect(ttl).toBeLessThanOrEqual(longest + 1);
          expect(ttl).not.toBe(-1);
        }
      }
    },
  );
});
