import type * as core from "sluicegate";
import type * as redis from "sluicegate/redis";
import { beforeEach, describe, expect, it, vi } from "vitest";

const HOUR = { maxCalls: 3, period: "1h" } as const;
type Package = typeof core & typeof redis;
type Limiters = (made: Package, client: redis.Send) => readonly Pick<core.RateLimiter, "isAllowed">[];

const admitting: redis.Send = async () => 1;

describe("a warning about keys that two limiters share", () => {
  let made: Package;
  beforeEach(async () => {
    // A warning is issued once per process, and so per copy of the package.
    vi.resetModules();
    made = { ...(await import("sluicegate")), ...(await import("sluicegate/redis")) };
  });

  /** The warnings about what `limiters` makes, once each limiter has been used. */
  async function warningsOf(limiters: Limiters, client: redis.Send = async () => 1): Promise<unknown[][]> {
    const emitted = vi.spyOn(process, "emitWarning").mockReturnValue();
    for (const limiter of limiters(made, client)) await limiter.isAllowed("ada");
    return emitted.mock.calls;
  }

  it.each<[string, RegExp, Limiters]>([
    [
      "two without a name",
      /rate_limit:default:\*; none of them has a name/,
      ({ RedisRateLimiter }, client) => [1, 2].map(() => new RedisRateLimiter({ ...HOUR, client })),
    ],
    [
      "two without a name, of two stores and other limits",
      /rate_limit:default:\*/,
      ({ AsyncRateLimiter, DOSProtectionLimiter, RedisStore }, client) => [
        new AsyncRateLimiter({ ...HOUR, store: new RedisStore({ client }) }),
        new DOSProtectionLimiter({ store: new RedisStore({ client }) }),
      ],
    ],
    [
      "two of one name whose maxCalls differ",
      /a:login:\*; one limits to 3 in 3600000 ms, another to 4 in 3600000 ms/,
      ({ RedisRateLimiter }, client) =>
        [3, 4].map((maxCalls) => new RedisRateLimiter({ ...HOUR, maxCalls, client, name: "login", keyPrefix: "a" })),
    ],
    [
      "two of one name whose periods differ",
      /3 in 3600000 ms, another to 3 in 60000 ms/,
      ({ RedisRateLimiter }, client) =>
        (["1h", "1m"] as const).map((period) => new RedisRateLimiter({ ...HOUR, period, client, name: "login" })),
    ],
    [
      "two of one name, of which one has locks",
      /one limits to 3 in 3600000 ms, another to 3 in 3600000 ms with locks of 60000 ms, forgotten after 86400000 ms/,
      ({ RedisRateLimiter }, client) =>
        [undefined, "1m" as const].map((lockFor) => new RedisRateLimiter({ ...HOUR, lockFor, client, name: "login" })),
    ],
  ])("is issued once for %s", async (_, detail, limiters) => {
    await warningsOf(limiters);
    expect(await warningsOf(limiters)).toEqual([
      [
        expect.stringMatching(/^Two limiters of one Redis client have the same keys/),
        { type: "SluicegateWarning", code: "SLUICEGATE_SHARED_KEYS", detail: expect.stringMatching(detail) as unknown },
      ],
    ]);
  });

  it.each<[string, Limiters]>([
    [
      "two of one name and equal limits: a limiter that was made anew",
      ({ RedisRateLimiter, AsyncRateLimiter, RedisStore }, client) => [
        new RedisRateLimiter({ ...HOUR, client, name: "login" }),
        new AsyncRateLimiter({ ...HOUR, name: "login", store: new RedisStore({ client }) }),
      ],
    ],
    [
      "two names, prefixes or clients",
      ({ RedisRateLimiter }, client) => [
        new RedisRateLimiter({ ...HOUR, client }),
        new RedisRateLimiter({ ...HOUR, maxCalls: 4, client, name: "search" }),
        new RedisRateLimiter({ ...HOUR, maxCalls: 5, client, keyPrefix: "other" }),
        new RedisRateLimiter({ ...HOUR, maxCalls: 6, client: admitting }),
      ],
    ],
    [
      "`warnings: false`",
      ({ RedisRateLimiter, AsyncRateLimiter, RedisStore }, client) => [
        new RedisRateLimiter({ ...HOUR, client, warnings: false }),
        new RedisRateLimiter({ ...HOUR, maxCalls: 4, client, warnings: false }),
        new AsyncRateLimiter({ ...HOUR, store: new RedisStore({ client, warnings: false }) }),
      ],
    ],
    [
      "one that was closed before the next was made",
      ({ RedisRateLimiter }, client) => {
        new RedisRateLimiter({ ...HOUR, client }).close();
        return [new RedisRateLimiter({ ...HOUR, maxCalls: 4, client })];
      },
    ],
    [
      "tiers, and a limit that is reduced by load in one limiter and not in another",
      ({ AdaptiveRateLimiter, RedisStore, TieredRateLimiter, USER_TIERS }, client) => {
        const tiers = new TieredRateLimiter({ tiers: USER_TIERS, store: new RedisStore({ client }) });
        const adaptive = [0, 1].map(
          () =>
            new AdaptiveRateLimiter({ baseMaxCalls: 10, period: "1h", name: "a", store: new RedisStore({ client }) }),
        );
        for (const cpuUsage of [1, 0]) adaptive[cpuUsage]!.adjustForLoad(cpuUsage, 0);
        return [tiers.tier("free"), tiers.tier("premium"), ...adaptive];
      },
    ],
  ])("is not issued for %s", async (_, limiters) => {
    expect(await warningsOf(limiters)).toEqual([]);
  });

  it("is switched off by the option that the limiter reports, which the HTTP adapters read", () => {
    const warnings = [undefined, false].map(
      (value) => new made.RedisRateLimiter({ ...HOUR, client: admitting, warnings: value }).warnings,
    );
    expect(warnings).toEqual([true, false]);
  });
});
