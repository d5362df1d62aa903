import { describe, expect, it } from "vitest";
import { RedisRateLimiter } from "../../../src/redis/index.js";
import { block, Releases } from "../../unit/limiter/releases.js";
import { realRedis } from "../../support/redis/real-redis.js";
import { withoutRedis } from "../../support/redis/redis-process.js";

describe.skipIf(withoutRedis !== undefined)("acquire with a real Redis", () => {
  const redis = realRedis();

  it("releases the callers of a process no faster than the limit, however busy the process is", async () => {
    const limiter = new RedisRateLimiter({
      maxCalls: 18,
      period: "100ms",
      client: redis.client,
      timeout: "5s",
      bypass: false,
    });
    const releases = new Releases();
    const stop = new AbortController();
    const { signal } = stop;
    await new Promise<void>((resolve) => {
      for (let call = 0; call < 30_000; call += 1) {
        limiter.acquire("api", { signal, maxQueue: Infinity }).then(
          () => {
            releases.add();
            // The replies of Redis wait in the socket meanwhile.
            if (releases.count % 7 === 0) block(15);
            if (releases.count === 90) resolve();
          },
          () => undefined,
        );
      }
    });
    stop.abort();
    expect(releases.most(100)).toBeLessThanOrEqual(18);
  });

  it("makes room immediately by a refund and a reset", async () => {
    const limiter = new RedisRateLimiter({
      maxCalls: 1,
      period: "1h",
      name: "refunded",
      client: redis.client,
      timeout: "5s",
      bypass: false,
    });
    for (let call = 0; call < 3; call += 1) await limiter.refund(await limiter.acquire("api"));
    await limiter.acquire("api");
    const waiting = limiter.acquire("api");
    await limiter.reset("api");
    expect((await waiting).source).toBe("redis");
    expect((await limiter.state("api")).calls).toBe(1);
  });
});
