import { Cluster } from "ioredis";
import { LoginProtection, type LoginAttempt, type LoginProtectionOptions, type LoginRequest } from "sluicegate/login";
import { RedisStore, type Send } from "sluicegate/redis";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ClusterProcess } from "../../support/redis/cluster-process.js";
import { realRedis } from "../../support/redis/real-redis.js";
import { withoutRedis } from "../../support/redis/redis-process.js";

const secret = "one secret of at least 32 characters";
const options = { secret, bypass: false } as const;
let prefixes = 0;

const attemptOf =
  (logins: LoginProtection) =>
  (bot: number, request: Partial<LoginRequest> = {}): Promise<LoginAttempt> =>
    logins.attempt({ account: "ada@example.org", address: `10.0.${bot}.1`, ...request });

async function allowedOf(attempts: readonly Promise<LoginAttempt>[]): Promise<number> {
  return (await Promise.all(attempts)).filter(({ allowed }) => allowed).length;
}

const hundred = Array.from({ length: 100 }, (_, bot) => bot);
const cookieOf = async (attempt: LoginAttempt): Promise<string> => (await attempt.succeeded()).split(";", 1)[0] ?? "";

describe.skipIf(withoutRedis !== undefined)("a login over one Redis", () => {
  const redis = realRedis();
  const loginsOf = (keyPrefix: string, own: Partial<LoginProtectionOptions> = {}): LoginProtection => {
    const store = new RedisStore({ client: redis.client, keyPrefix, timeout: "10s", whenDown: "deny" });
    return new LoginProtection({ ...options, store, ...own } as LoginProtectionOptions);
  };
  const nextPrefix = (): string => `login${(prefixes += 1)}`;

  it("allows 5 of 100 guesses at once on one account, and known browsers meanwhile", async () => {
    const attempt = attemptOf(loginsOf(nextPrefix()));
    const cookie = await cookieOf(await attempt(200));
    expect(await allowedOf(hundred.map((bot) => attempt(bot)))).toBe(5);
    expect((await attempt(200)).decision).toMatchObject({ member: "strangers", allowed: false, strikes: 1 });
    expect(await allowedOf(hundred.map(() => attempt(200, { cookie })))).toBe(10);
  });

  it("shares limits, locks and cookies between processes, and `unlock` as well", async () => {
    const prefix = nextPrefix();
    const [here, there] = [loginsOf(prefix), loginsOf(prefix)];
    const cookie = await cookieOf(await attemptOf(here)(200));
    await allowedOf(hundred.map((bot) => attemptOf(here)(bot)));
    expect((await there.state("ada@example.org")).strangers).toMatchObject({ calls: 5, strikes: 1 });
    expect((await attemptOf(there)(200, { cookie })).knownBrowser).toBe(true);
    await there.unlock("ada@example.org");
    expect((await here.state("ada@example.org")).strangerFailures.calls).toBe(0);
    expect((await attemptOf(there)(201)).allowed).toBe(true);
  });

  it("takes known browsers for strangers after 100 failures", async () => {
    const attempt = attemptOf(loginsOf(nextPrefix()));
    let allowed = 0;
    for (let browser = 0; browser < 12; browser += 1) {
      const cookie = await cookieOf(await attempt(browser));
      const attempts = Array.from({ length: 10 }, () => attempt(browser, { cookie }));
      allowed += await allowedOf(attempts);
      if (browser === 10) expect((await attempt(browser, { cookie })).decision.member).toBe("strangers");
    }
    expect(allowed).toBe(100 + 5);
  });

  it("gives back what a success counted, in all limits", async () => {
    const logins = loginsOf(nextPrefix());
    await (await attemptOf(logins)(1)).succeeded();
    const states = [
      ...Object.values(await logins.state("ada@example.org")),
      await logins.limiters.network.state("10.0.1.0/24"),
      await logins.limiters.address.state("10.0.1.1"),
    ];
    expect(states.map(({ calls }) => calls)).toEqual([0, 0, 0, 0, 0]);
  });

  it("keeps the keys of an invented account as long as it counts them, and no longer", async () => {
    const prefix = nextPrefix();
    const attempt = attemptOf(loginsOf(prefix));
    await attempt(1, { account: "nobody" });
    const hours = async (member: string): Promise<number> => {
      const [key = ""] = await redis.client.keys(`${prefix}:login/${member}:*`);
      return (await redis.client.pttl(key)) / 3_600_000;
    };
    expect(await hours("network")).toBeCloseTo(1, 2);
    expect(await hours("strangers")).toBeCloseTo(0.25, 2);
    expect(await hours("strangerFailures")).toBeCloseTo(720, 1);
  });
});

describe.skipIf(withoutRedis !== undefined)("a login over a Redis cluster", () => {
  let cluster: ClusterProcess;
  let client: Cluster;
  beforeAll(async () => {
    cluster = await ClusterProcess.start();
    client = new Cluster(cluster.nodes);
  });
  afterAll(async () => {
    client.disconnect();
    await cluster.kill();
  });

  it("checks the limits one after another, allows 5 of 100 guesses at once, and counts refused ones nowhere", async () => {
    const store = new RedisStore({ client, timeout: "10s", whenDown: "deny" });
    const logins = new LoginProtection({ ...options, store });
    const attempt = attemptOf(logins);
    expect(await allowedOf(hundred.map((bot) => attempt(bot)))).toBe(5);
    const networks = await Promise.all(hundred.map((bot) => logins.limiters.network.state(`10.0.${bot}.0/24`)));
    expect(networks.filter(({ calls }) => calls > 0)).toHaveLength(5);
    const { strangers, strangerFailures } = await logins.state("ada@example.org");
    expect([strangers.calls, strangerFailures.calls]).toEqual([5, 5]);
  });
});

describe("a login over a Redis that is gone", () => {
  const client: Send = async () => Promise.reject(new Error("gone"));

  it("rejects an attempt with a StoreError if the store denies", async () => {
    const logins = new LoginProtection({ ...options, store: new RedisStore({ client, whenDown: "deny" }) });
    await expect(attemptOf(logins)(1)).rejects.toMatchObject({ code: "STORE_ERROR" });
  });

  it("counts in this process by default", async () => {
    const attempt = attemptOf(new LoginProtection({ ...options, store: new RedisStore({ client }) }));
    expect(await allowedOf(hundred.map((bot) => attempt(bot)))).toBe(5);
    expect((await attempt(1)).decision.source).toBe("fallback");
  });
});
