import fc from "fast-check";
import { describe, expect, it, vi } from "vitest";
import { AsyncRateLimiter, LimiterClosedError, MemoryStore, StoreError } from "../../../src/index.js";
import {
  foldAccount,
  type LoginAttempt,
  LoginProtection,
  type LoginProtectionOptions,
  type LoginRequest,
} from "../../../src/login/index.js";
import { ManualClock } from "../../../src/testing/index.js";

const secret = "one secret of at least 32 characters";

interface Setup {
  readonly logins: LoginProtection;
  readonly clock: ManualClock;
  /** An attempt on the account of Ada from an address of its own. */
  readonly attempt: (request?: Partial<LoginRequest>) => Promise<LoginAttempt>;
  /** Logs in, and returns the `Cookie` header of the browser. */
  readonly login: (request?: Partial<LoginRequest>) => Promise<string>;
}

let addresses = 0;

/** Another address, in another network. */
function nextAddress(): string {
  addresses += 1;
  return `10.${(addresses >> 8) & 255}.${addresses & 255}.1`;
}

function setup(options: Partial<LoginProtectionOptions> = {}): Setup {
  const clock = new ManualClock();
  const logins = new LoginProtection({ secret, clock, bypass: false, ...options } as LoginProtectionOptions);
  const attempt = (request: Partial<LoginRequest> = {}): Promise<LoginAttempt> =>
    logins.attempt({ account: "ada@example.org", address: nextAddress(), ...request });
  const login = async (request: Partial<LoginRequest> = {}): Promise<string> =>
    (await (await attempt(request)).succeeded()).split(";", 1)[0] ?? "";
  return { logins, clock, attempt, login };
}

/** How many of several attempts at once are allowed. */
async function allowedOf(attempts: number, attempt: (at: number) => Promise<LoginAttempt>): Promise<number> {
  const made = await Promise.all(Array.from({ length: attempts }, (_, at) => attempt(at)));
  return made.filter(({ allowed }) => allowed).length;
}

describe("the attempts of strangers", () => {
  it("are counted before the password is verified: of 100 at once on one account, 5 are allowed", async () => {
    const { attempt } = setup();
    expect(await allowedOf(100, () => attempt())).toBe(5);
  });

  it("are refused by the limit of strangers, whatever the address and the spelling of the account", async () => {
    const { attempt } = setup();
    const spellings = [
      "ada@example.org",
      " ADA@example.org",
      "Ada@Example.ORG\n",
      "ａｄａ@example.org",
      "ada＠example.org",
    ];
    for (const account of spellings) expect((await attempt({ account })).allowed).toBe(true);
    const refused = await attempt();
    expect(refused).toMatchObject({
      allowed: false,
      account: "ada@example.org",
      knownBrowser: false,
      decision: { member: "strangers", refusedBy: "limit" },
    });
    expect((await attempt({ account: "grace@example.org" })).allowed).toBe(true);
  });

  it("are at most 100 in 30 days, even if none of them is refused, until one succeeds", async () => {
    const { logins, clock, attempt } = setup();
    const guess = async (): Promise<LoginAttempt> => {
      const made = await attempt();
      clock.advance("15m");
      return made;
    };
    for (let guesses = 0; guesses < 100; guesses += 1) expect((await guess()).allowed).toBe(true);
    expect((await guess()).decision).toMatchObject({ member: "strangerFailures", allowed: false });
    clock.advance("28d");
    expect((await guess()).allowed).toBe(false);
    clock.advance("23h");
    const late = await guess();
    expect(late.allowed).toBe(true);
    await late.succeeded();
    expect((await logins.state("ada@example.org")).strangerFailures.calls).toBe(0);
    for (let guesses = 0; guesses < 100; guesses += 1) expect((await guess()).allowed).toBe(true);
    expect((await guess()).allowed).toBe(false);
  });

  it("are counted in no limit if one refuses", async () => {
    const { logins, attempt } = setup();
    for (let guesses = 0; guesses < 9; guesses += 1) await attempt({ address: "192.0.2.7" });
    const { strangers, strangerFailures } = await logins.state("ada@example.org");
    expect([strangers.calls, strangerFailures.calls]).toEqual([5, 5]);
    expect((await logins.limiters.address.state("192.0.2.7")).calls).toBe(5);
    expect((await logins.limiters.network.state("192.0.2.0/24")).calls).toBe(5);
  });
});

describe("the attempts of known browsers", () => {
  it("are not limited by what strangers do, and count by browser", async () => {
    const { attempt, login } = setup();
    const [laptop, phone] = [await login(), await login()];
    expect(await allowedOf(100, () => attempt())).toBe(5);
    expect(await attempt({ cookie: laptop })).toMatchObject({ allowed: true, knownBrowser: true });
    expect(await allowedOf(100, () => attempt({ cookie: laptop }))).toBe(9);
    expect(await attempt({ cookie: laptop })).toMatchObject({ allowed: false, decision: { member: "browser" } });
    expect((await attempt({ cookie: phone })).allowed).toBe(true);
  });

  it("share 100 failures in 30 days over all browsers of the account, and are strangers then", async () => {
    const { logins, clock, attempt, login } = setup();
    const cookies: string[] = [];
    for (let browsers = 0; browsers < 60; browsers += 1) cookies.push(await login());
    const hoarder = async (): Promise<number> => {
      let allowed = 0;
      for (const cookie of cookies) allowed += await allowedOf(10, () => attempt({ cookie }));
      return allowed;
    };
    expect(await hoarder()).toBe(100 + 5);
    expect(await attempt({ cookie: cookies[0] })).toMatchObject({
      knownBrowser: false,
      decision: { member: "strangers" },
    });
    clock.advance("29d");
    const owner = await attempt({ cookie: cookies[0] });
    expect(owner).toMatchObject({ knownBrowser: false, allowed: true });
    expect((await owner.succeeded()).split(".")[0]).toBe(cookies[0]?.split(".")[0]);
    expect((await logins.state("ada@example.org")).browserFailures.calls).toBe(100);
    clock.advance("1d");
    clock.advance("1ms");
    expect((await attempt({ cookie: cookies[0] })).knownBrowser).toBe(true);
  });

  it("forget no failure when one succeeds, and strangers forget those of strangers", async () => {
    const { logins, attempt, login } = setup();
    const cookie = await login();
    await attempt();
    await attempt({ cookie });
    const failures = async (): Promise<number[]> => {
      const { strangerFailures, browserFailures } = await logins.state("ada@example.org");
      return [strangerFailures.calls, browserFailures.calls];
    };
    expect(await failures()).toEqual([1, 1]);
    await login({ cookie });
    expect(await failures()).toEqual([1, 1]);
    await login();
    expect(await failures()).toEqual([0, 1]);
  });

  it("keep the nonce of the browser at each success", async () => {
    const { login } = setup();
    const cookie = await login();
    const [first, renewed] = [cookie, await login({ cookie })].map((pair) => pair.split(".")[0]);
    expect(renewed).toBe(first);
  });

  it("are those of strangers if the cookie is of another account, of another secret or expired", async () => {
    const { clock, attempt, login } = setup();
    const cookie = await login();
    const foreign = await setup({ secret: secret.toUpperCase() }).login();
    expect((await attempt({ cookie, account: "grace@example.org" })).knownBrowser).toBe(false);
    expect((await attempt({ cookie: foreign })).knownBrowser).toBe(false);
    clock.advance("364d");
    expect((await attempt({ cookie })).knownBrowser).toBe(true);
    clock.advance("1d");
    expect((await attempt({ cookie })).knownBrowser).toBe(false);
  });

  it("are known by a cookie of any secret, and by the name and for the age that are set", async () => {
    const other = secret.toUpperCase();
    const old = await setup({ secret }).login();
    const rotated = setup({ secret: [other, secret], cookie: { name: "__Host-known", maxAge: "90d" } });
    const header = await (await rotated.attempt()).succeeded();
    expect(header).toMatch(/^__Host-known=.*; Max-Age=7776000$/);
    expect((await rotated.attempt({ cookie: old.replace("device", "known") })).knownBrowser).toBe(true);
  });
});

describe("the lock of strangers", () => {
  const ladder = { member: "strangers", allowed: false } as const;

  it("is set by the attempt above the limit, for 15 minutes, 30 minutes and then 1 hour", async () => {
    const { clock, attempt } = setup();
    for (const [at, minutes] of [15, 30, 60, 60].entries()) {
      expect(await allowedOf(5, () => attempt())).toBe(5);
      const lock = { ...ladder, refusedBy: "limit", strikes: at + 1, lockedForMs: minutes * 60_000 };
      expect((await attempt()).decision).toMatchObject(lock);
      clock.advance(`${minutes * 60_000 - 1}ms`);
      expect((await attempt()).decision).toMatchObject({ ...lock, refusedBy: "lock", lockedForMs: 1, retryAfterMs: 1 });
      clock.advance("1ms");
    }
  });

  it("does not concern known browsers, and no success removes it", async () => {
    const { logins, attempt, login } = setup();
    const cookie = await login();
    const [stranger] = [await attempt(), await allowedOf(4, () => attempt())];
    await attempt();
    const { lockedUntil } = (await logins.state("ada@example.org")).strangers;
    expect(lockedUntil).not.toBeNull();
    // Both attempts are older than the lock.
    await stranger.succeeded();
    await login({ cookie });
    expect((await logins.state("ada@example.org")).strangers).toMatchObject({ lockedUntil, calls: 4 });
    expect((await attempt()).decision).toMatchObject({ ...ladder, refusedBy: "lock" });
    expect((await attempt({ cookie })).allowed).toBe(true);
  });

  it("is removed by `unlock`, with its strikes", async () => {
    const { logins, attempt } = setup();
    await allowedOf(9, () => attempt());
    expect((await logins.state("ada@example.org")).strangers).toMatchObject({ strikes: 1, lockedForMs: 900_000 });
    await logins.unlock("ada@example.org");
    expect((await logins.state("ada@example.org")).strangers).toMatchObject({ strikes: 0, lockedForMs: 0 });
    expect(await allowedOf(9, () => attempt())).toBe(5);
  });

  it("can be another one, or none, for each limit that can be set", async () => {
    const { attempt } = setup({
      address: { maxCalls: 1, period: "1s", lockFor: "1d", forgetAfter: "1w" },
      strangers: { maxCalls: 5, period: "15m" },
    });
    await allowedOf(2, () => attempt({ address: "192.0.2.7" }));
    expect((await attempt({ address: "192.0.2.7" })).decision).toMatchObject({ member: "address", refusedBy: "lock" });
    expect(await allowedOf(9, () => attempt())).toBe(4);
    expect((await attempt()).decision).toMatchObject({ refusedBy: "limit", lockedForMs: 0 });
  });
});

describe("the limits over all accounts", () => {
  it("bound one address, and of IPv6 one /64, in any notation", async () => {
    const { attempt } = setup();
    const guess = (address: (at: number) => string): Promise<number> =>
      allowedOf(200, (at) => attempt({ account: `user ${at}`, address: address(at) }));
    expect(await guess(() => "192.0.2.7")).toBe(30);
    expect(await guess(() => "::ffff:192.0.2.7")).toBe(0);
    expect(await guess((at) => `2001:db8:1:1::${at}`)).toBe(30);
    expect((await attempt({ account: "another", address: "2001:db8:1:1::/64" })).decision.member).toBe("address");
  });

  it("bound one network: a /24 of IPv4, a /48 of IPv6", async () => {
    const { attempt } = setup();
    const guess = (address: (at: number) => string): Promise<number> =>
      allowedOf(200, (at) => attempt({ account: `user ${at}`, address: address(at) }));
    expect(await guess((at) => `192.0.2.${at}`)).toBe(100);
    expect(await guess((at) => `2001:db8:1:${at}::1`)).toBe(100);
    expect((await attempt({ account: "another", address: "2001:db8:1::7" })).decision.member).toBe("network");
    expect((await attempt({ account: "another", address: "2001:db8:2::7" })).allowed).toBe(true);
  });

  it("take a range that is wider than theirs as it is", async () => {
    const { logins, attempt } = setup();
    await attempt({ address: "2001:db8:1:200::/56" });
    expect((await logins.limiters.address.state("2001:db8:1:200::/56")).calls).toBe(1);
    expect((await logins.limiters.network.state("2001:db8:1::/48")).calls).toBe(1);
  });

  it("take an address of the local prefix of NAT64 for one client", async () => {
    const { logins, attempt } = setup();
    await attempt({ address: "64:ff9b:1::203.0.113.7" });
    for (const limiter of [logins.limiters.address, logins.limiters.network]) {
      expect((await limiter.state("64:ff9b:1::cb00:7107")).calls).toBe(1);
    }
  });

  it("do not count logins that succeed", async () => {
    const { login } = setup();
    for (let logins = 0; logins < 200; logins += 1)
      await login({ address: "192.0.2.7", account: `user ${logins % 7}` });
  });
});

describe("an attempt", () => {
  it("that succeeds gives back everything that it counted", async () => {
    const { logins, attempt } = setup();
    await (await attempt({ address: "192.0.2.7" })).succeeded();
    const states = [
      ...Object.values(await logins.state("ada@example.org")),
      await logins.limiters.address.state("192.0.2.7"),
      await logins.limiters.network.state("192.0.2.0/24"),
    ];
    expect(states.map(({ calls }) => calls)).toEqual([0, 0, 0, 0, 0]);
  });

  it("returns the same cookie when it succeeds twice, and gives back one attempt", async () => {
    const { logins, attempt } = setup();
    const [first] = [await attempt(), await attempt()];
    const cookies = await Promise.all([first.succeeded(), first.succeeded()]);
    expect(cookies[0]).toBe(cookies[1]);
    expect(await first.succeeded()).toBe(cookies[0]);
    expect((await logins.state("ada@example.org")).strangers.calls).toBe(1);
  });

  it("stays counted if it failed, or if its outcome never came, whatever is called later", async () => {
    const { logins, attempt } = setup();
    await attempt();
    const failed = await attempt();
    await failed.failed();
    await failed.failed();
    expect([await failed.succeeded(), await failed.refund()]).toEqual(["", false]);
    expect((await logins.state("ada@example.org")).strangerFailures.calls).toBe(2);
  });

  it("stays given back if it failed after its success", async () => {
    const { logins, attempt } = setup();
    const made = await attempt();
    const cookie = await made.succeeded();
    await made.failed();
    expect([await made.succeeded(), await made.refund()]).toEqual([cookie, false]);
    expect((await logins.state("ada@example.org")).strangers.calls).toBe(0);
  });

  it("that is refunded gives back itself, forgets no other failure, and makes no browser known", async () => {
    const { logins, attempt } = setup();
    await attempt();
    const first = await attempt();
    expect([await first.refund(), await first.refund(), await first.succeeded()]).toEqual([true, false, ""]);
    const { strangers, strangerFailures } = await logins.state("ada@example.org");
    expect([strangers.calls, strangerFailures.calls]).toEqual([1, 1]);
  });

  it("that was refused makes the browser known if the owner has proved himself otherwise", async () => {
    const { attempt } = setup();
    await allowedOf(100, () => attempt());
    const refused = await attempt();
    expect(refused.allowed).toBe(false);
    const [cookie] = (await refused.succeeded()).split(";");
    expect((await attempt({ cookie })).allowed).toBe(true);
  });

  it("is never more than its limits allow, in any order of outcomes", async () => {
    const action = fc.constantFrom("guess", "guess", "login", "browser", "wait", "failed", "succeeded", "refund");
    await fc.assert(
      fc.asyncProperty(fc.array(action, { maxLength: 60 }), async (actions) => {
        const { logins, clock, attempt, login } = setup();
        const open: LoginAttempt[] = [];
        let cookie: string | undefined;
        // Failures by time, of attempts that nothing has given back.
        let counted: { readonly at: number; readonly attempt: LoginAttempt }[] = [];
        const giveBack = (made: LoginAttempt): void => {
          counted = counted.filter((one) => one.attempt !== made);
        };
        for (const what of actions) {
          const recent = counted.filter(({ at }) => at > clock.now() - 900_000).length;
          if (what === "wait") clock.advance("4m");
          else if (what === "guess") {
            const isLocked = (await logins.state("ada@example.org")).strangers.lockedForMs > 0;
            const made = await attempt();
            expect(made.allowed).toBe(!isLocked && recent < 5);
            if (made.allowed) counted.push({ at: clock.now(), attempt: made });
            open.push(made);
          } else if (what === "browser") cookie = await login({ cookie: cookie ?? (await login()) });
          else if (what === "login") {
            const made = await attempt();
            if (made.allowed) await made.succeeded();
          } else {
            const made = open.shift();
            await made?.[what]();
            if (made !== undefined && what !== "failed") giveBack(made);
          }
        }
        expect((await logins.state("ada@example.org")).strangers.calls).toBe(
          counted.filter(({ at }) => at > clock.now() - 900_000).length,
        );
      }),
      { numRuns: 50 },
    );
  });
});

describe("an administrator", () => {
  it("sees what is counted on an account, and lets everybody try it again", async () => {
    const { logins, attempt, login } = setup();
    const cookie = await login();
    await allowedOf(9, () => attempt());
    await attempt({ cookie });
    const calls = async (): Promise<number[]> => {
      const state = await logins.state(" ADA@example.org");
      return [state.strangers.calls, state.strangerFailures.calls, state.browserFailures.calls];
    };
    expect(await calls()).toEqual([5, 5, 1]);
    await logins.unlock("Ada@example.org ");
    expect(await calls()).toEqual([0, 0, 0]);
    expect((await attempt()).allowed).toBe(true);
  });

  it("can clear an address and change a limit", async () => {
    const { logins, attempt } = setup({ address: { maxCalls: 1, period: "1h" } });
    const from = { address: "192.0.2.7" };
    expect([(await attempt(from)).allowed, (await attempt(from)).allowed]).toEqual([true, false]);
    await logins.limiters.address.reset("192.0.2.7");
    expect((await attempt(from)).allowed).toBe(true);
    logins.limiters.address.setMaxCalls(2);
    expect([(await attempt(from)).allowed, (await attempt(from)).allowed]).toEqual([true, false]);
  });
});

describe("the options of a login", () => {
  it("replace the default limits", async () => {
    const { attempt } = setup({
      strangers: { maxCalls: 2, period: "1m" },
      browser: { maxCalls: 1, period: "1m" },
      network: { maxCalls: 3, period: "1m" },
    });
    expect(await allowedOf(9, () => attempt())).toBe(2);
    expect(await allowedOf(9, (at) => attempt({ account: `user ${at}`, address: `192.0.2.${at}` }))).toBe(3);
  });

  it("allow every attempt in shadow mode, count and report as in enforce mode, and issue cookies", async () => {
    const onDecision = vi.fn();
    const { logins, attempt, login } = setup({ mode: "shadow", onDecision });
    expect(await allowedOf(9, () => attempt({ address: "192.0.2.7" }))).toBe(9);
    const shadow = { member: "strangers", allowed: true, shadowed: true, refusedBy: "lock" };
    expect(onDecision.mock.calls.filter(([{ shadowed }]) => shadowed as boolean).length).toBe(4);
    expect((await attempt()).decision).toMatchObject(shadow);
    expect((await logins.limiters.address.state("192.0.2.7")).calls).toBe(5);
    expect((await attempt({ cookie: await login() })).knownBrowser).toBe(true);
  });

  it("call `bypass` once with the address, and count nothing if it returns true", async () => {
    const bypass = vi.fn((address: string) => address.startsWith("192.0.2."));
    const { logins, attempt } = setup({ bypass });
    const [office, other] = [await attempt({ address: "192.0.2.7" }), await attempt({ address: "2001:db8::1" })];
    expect(bypass.mock.calls).toEqual([["192.0.2.7"], ["2001:db8::/64"]]);
    expect([office.decision.bypassed, other.decision.bypassed]).toEqual([true, false]);
    expect(await office.succeeded()).toMatch(/^__Host-device=/);
    const { strangers, strangerFailures } = await logins.state("ada@example.org");
    expect([strangers.calls, strangerFailures.calls]).toEqual([1, 1]);
  });

  it("obey `TESTING=1` by default", async () => {
    const logins = new LoginProtection({ secret });
    vi.stubEnv("TESTING", "1");
    expect(await allowedOf(9, () => logins.attempt({ account: "ada", address: "192.0.2.7" }))).toBe(9);
  });

  it("call `onDecision` once with the decision on each attempt, and survive its failure", async () => {
    const seen: unknown[] = [];
    const warned = vi.spyOn(process, "emitWarning").mockReturnValue();
    const { attempt } = setup({
      onDecision: ({ member, allowed }, { account, address, knownBrowser }) => {
        seen.push([member, allowed, account, address, knownBrowser]);
        throw new Error("broken");
      },
    });
    for (let guesses = 0; guesses < 6; guesses += 1) await attempt({ address: "192.0.2.7" });
    expect(seen[0]).toEqual(["strangers", true, "ada@example.org", "192.0.2.7", false]);
    expect(seen[5]).toEqual(["strangers", false, "ada@example.org", "192.0.2.7", false]);
    expect([seen.length, warned.mock.calls.length]).toEqual([6, 6]);
  });

  it("show no secret and no cookie in an attempt that is logged", async () => {
    const { attempt, login } = setup();
    const cookie = await login();
    const made = await attempt({ cookie });
    expect(Object.keys(made)).toEqual(["allowed", "decision", "account", "address", "knownBrowser"]);
    expect(JSON.stringify(made)).not.toContain(cookie.slice(20, 40));
  });

  it("fold accounts by their own function", async () => {
    const { logins, attempt } = setup({ foldAccount: (account) => foldAccount(account).replace(/\+.*@/, "@") });
    await attempt({ account: "Ada+shop@example.org" });
    expect((await logins.state("ada@example.org")).strangers.calls).toBe(1);
    const broken = setup({ foldAccount: (async () => "ada") as never });
    await expect(broken.attempt()).rejects.toThrow("Expected `foldAccount(account)` to be a string, and no promise");
  });

  const invalid: [what: string, options: object, message: string][] = [
    [
      "no secret",
      {},
      "Expected `secret` to be a random string of at least 32 characters, or a list of them, got `undefined`",
    ],
    ["a short secret, which it does not show", { secret: "swordfish" }, "got `9 characters` (string)"],
    ["a list with a short secret", { secret: [secret, "swordfish"] }, "got `9 characters` (string)"],
    ["an empty list", { secret: [] }, "Expected `secret` to be a random string"],
    ["a limit of another type", { secret, strangers: 5 }, "Expected `strangers` to be an object with the options"],
    ["a limit out of range", { secret, address: { maxCalls: -1, period: "1h" } }, "Expected `address.maxCalls` to be"],
    ["a misspelt limit", { secret, browser: { max: 1, period: "1h" } }, "Expected `max` to be `maxCalls`, or one of"],
    ["a cookie without prefix", { secret, cookie: { name: "device" } }, "Expected `cookie.name` to be the name of"],
    ["a name with a space", { secret, cookie: { name: "__Host-a b" } }, "Expected `cookie.name` to be the name of"],
    [
      "an age of no second",
      { secret, cookie: { maxAge: "1ms" } },
      "Expected `cookie.maxAge` to be a duration of at least",
    ],
    ["an age without unit", { secret, cookie: { maxAge: 3600 } }, "Expected `cookie.maxAge` to be a duration with its"],
    ["no function that folds", { secret, foldAccount: "lower" }, "Expected `foldAccount` to be a function"],
    ["an unknown option", { secret, secrets: [] }, "Expected `secrets` to be one of the options"],
    ["a lock of no limit", { secret, lockFor: "1h" }, "Expected `lockFor` to be one of the options"],
    [
      "a lock without unit",
      { secret, strangers: { maxCalls: 1, period: "1h", lockFor: 60 } },
      "Expected `lockFor` to be",
    ],
    ["an unknown mode", { secret, mode: "dry" }, "Expected `mode` to be"],
    ["no listener", { secret, onDecision: true }, "Expected `onDecision` to be a function"],
    ["no store", { secret, store: {} }, "Expected `store` to be a store"],
    ["a name with a colon", { secret, name: "a:b" }, "Expected `name` to be a non-empty string without `:`"],
    [
      "a clock beside a store",
      { secret, store: new MemoryStore(), clock: new ManualClock() },
      "Expected `clock` to be",
    ],
  ];
  it.each(invalid)("are refused: %s", (_, options, message) => {
    const make = (): unknown => new LoginProtection(options as LoginProtectionOptions);
    expect(make).toThrow(message);
    expect(make).toThrow(expect.objectContaining({ code: "SLUICEGATE_INVALID_ARGUMENT" }) as Error);
    expect(make).not.toThrow("swordfish");
  });

  it("are refused in a call: an account or an address of the wrong type, and an unknown one", async () => {
    const { logins } = setup();
    const address = "192.0.2.7";
    await expect(logins.attempt({ account: undefined as never, address })).rejects.toThrow("Expected `account` to be");
    await expect(logins.attempt({ account: "ada", address: undefined as never })).rejects.toThrow(TypeError);
    await expect(logins.attempt({ account: "ada", address: "unknown" })).rejects.toThrow(RangeError);
    await expect(logins.attempt({ account: "ada", address, cookies: "" } as never)).rejects.toThrow("`cookies`");
    await expect(logins.unlock(undefined as never)).rejects.toThrow("Expected `account` to be a string");
    await expect(logins.state(undefined as never)).rejects.toThrow("Expected `account` to be a string");
  });
});

describe("a login over a store", () => {
  it("opens one limiter for each limit under its name, and releases all of them", async () => {
    const store = new MemoryStore();
    const logins = new LoginProtection({ secret, store, name: "admin" });
    expect(Object.entries(logins.limiters).map(([member, { name }]) => [member, name])).toEqual([
      ["network", "admin/network"],
      ["address", "admin/address"],
      ["browser", "admin/browser"],
      ["browserFailures", "admin/browserFailures"],
      ["strangers", "admin/strangers"],
      ["strangerFailures", "admin/strangerFailures"],
    ]);
    expect(() => new LoginProtection({ secret, store, name: "admin" })).toThrow(RangeError);
    logins.close();
    logins.close();
    await expect(logins.attempt({ account: "ada", address: "192.0.2.7" })).rejects.toThrow(LimiterClosedError);
    expect((await new LoginProtection({ secret, store, name: "admin" }).state("ada")).strangers.calls).toBe(0);
  });

  it("rejects every attempt after `close`, bypassed ones too", async () => {
    const { logins, attempt } = setup({ bypass: () => true });
    expect((await attempt()).decision.bypassed).toBe(true);
    logins.close();
    await expect(attempt()).rejects.toThrow(LimiterClosedError);
  });

  it("opens nothing if one of its names is in use", () => {
    const store = new MemoryStore();
    const taken = new AsyncRateLimiter({ maxCalls: 1, period: "1m", name: "login/strangers", store });
    expect(() => new LoginProtection({ secret, store })).toThrow(RangeError);
    taken.close();
    expect(() => new LoginProtection({ secret, store })).not.toThrow();
  });

  it("has keys of one length, without the names of accounts, whatever a client types", async () => {
    const { logins, attempt } = setup();
    await attempt({ account: "x".repeat(1_000_000) });
    await attempt({ account: "" });
    expect((await logins.state("x".repeat(1_000_000))).strangers.calls).toBe(1);
    // SHA-256 of "ada@example.org".
    await attempt();
    const key = Buffer.from(await crypto.subtle.digest("SHA-256", Buffer.from("ada@example.org"))).toString(
      "base64url",
    );
    expect((await logins.limiters.strangers.state(key)).calls).toBe(1);
  });

  it("lets a known browser in while strangers keep a store in memory full", async () => {
    const store = new MemoryStore({ clock: new ManualClock(), maxKeys: 120 });
    const { attempt, login } = setup({ store, clock: undefined });
    const cookie = await login();
    let lastRefusal;
    for (let guess = 0; guess < 1000; guess += 1) {
      const { decision } = await attempt({ account: `account ${guess >> 3}` });
      if (!decision.allowed) lastRefusal = decision.refusedBy;
    }
    expect(lastRefusal).toBe("capacity");
    expect(await attempt({ cookie })).toMatchObject({ allowed: true, knownBrowser: true });
  });

  it("takes no known browser for a stranger because the store is full", async () => {
    const store = new MemoryStore({ clock: new ManualClock(), maxKeys: 1, onFull: "deny" });
    const { attempt, login } = setup({ store, clock: undefined });
    const cookie = await login();
    expect(await attempt({ cookie })).toMatchObject({ knownBrowser: true, decision: { refusedBy: "capacity" } });
  });

  it("rejects an attempt that the store cannot decide, and lets a login go on whose refund fails", async () => {
    const warned = vi.spyOn(process, "emitWarning").mockReturnValue();
    const { logins, attempt } = setup();
    const made = await attempt();
    vi.spyOn(logins.limiters.strangerFailures, "reset").mockRejectedValue(new StoreError("down"));
    expect(await made.succeeded()).toMatch(/^__Host-device=/);
    expect(warned.mock.calls[0]?.[1]).toMatchObject({ code: "SLUICEGATE_REFUND_FAILED" });
    const broken = { now: () => NaN };
    const unusable = setup({ clock: broken });
    await expect(unusable.attempt()).rejects.toThrow(StoreError);
  });
});

describe("foldAccount", () => {
  it("returns one text for the spellings of an account", () => {
    expect(["Ada", " ada\t", "ＡＤＡ", "ada\u00a0"].map(foldAccount)).toEqual(["ada", "ada", "ada", "ada"]);
    expect(foldAccount("Zoe\u0308")).toBe("zoë");
  });

  it("reads 1,000 characters, because normalizing 50,000 combining marks takes a second", () => {
    const marks = "\u0301\u0316".repeat(50_000);
    const started = performance.now();
    expect(foldAccount(` ada${marks}`)).toBe(foldAccount(`ada${marks.slice(0, 997)}`));
    expect(performance.now() - started).toBeLessThan(500);
    expect(foldAccount("x".repeat(1001))).toHaveLength(1000);
  });

  it("changes nothing that it has folded", () => {
    fc.assert(
      fc.property(fc.string({ unit: "grapheme" }), (account) => {
        const folded = foldAccount(account);
        expect(foldAccount(folded)).toBe(folded.trim());
      }),
    );
  });
});
