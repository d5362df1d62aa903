/**
 * Checks the package with the features that all runtimes share. Returns one line for each failure.
 *
 * @param {{ obeysTesting: boolean }} runtime - whether the runtime can read environment variables.
 * @returns {Promise<{ checks: number, failures: string[] }>}
 */
import {
  AsyncRateLimiter,
  MemoryStore,
  RATE_LIMITS,
  rateLimited,
  RateLimitExceededError,
  testingBypass,
} from "sluicegate";
import { LoginProtection } from "sluicegate/login";
import { ManualClock } from "sluicegate/testing";
import { makeReport } from "./report.mjs";

export async function conform({ obeysTesting }) {
  const { is, result } = makeReport();
  const thrown = async (run) => {
    try {
      await run();
      return "nothing";
    } catch (error) {
      return error.name;
    }
  };
  const limit = { maxCalls: 3, period: "1m", bypass: false };

  const concurrent = new AsyncRateLimiter(limit);
  const results = await Promise.all(Array.from({ length: 10 }, () => concurrent.isAllowed("ada")));
  is("10 concurrent calls of 3 per minute", results.filter(Boolean).length, 3);
  const { retryAfterMs } = concurrent.checkSync("ada");
  is("retryAfterMs by the clock of the runtime", retryAfterMs > 0 && retryAfterMs <= 60_001, true);

  const clock = new ManualClock();
  const store = new MemoryStore({ clock, maxKeys: 2 });
  const limiter = new AsyncRateLimiter({ ...limit, store });
  const admitted = await limiter.check("ada", { cost: 3 });
  is(
    "an allowed call",
    [admitted.allowed, admitted.remaining, admitted.resetAfterMs, admitted.source],
    [true, 0, 60_000, "memory"],
  );
  clock.advance("59.999s");
  is("a refusal", (await limiter.check("ada")).retryAfterMs, 1);
  clock.advance("1ms");
  is("the end of the window", await limiter.isAllowed("ada"), true);
  const refundable = await limiter.check("ada");
  is("a second refund", [await limiter.refund(refundable), await limiter.refund(refundable)], [true, false]);
  is("a refund of a copy", await thrown(() => limiter.refund({ ...refundable })), "TypeError");
  is("the state", await limiter.state("ada"), {
    calls: 1,
    lastReset: 0,
    lockedForMs: 0,
    strikes: 0,
    lockedUntil: null,
  });
  await limiter.reset("ada");
  is("a reset", store.size, 0);

  const closed = rateLimited(new AsyncRateLimiter({ ...limit, maxCalls: 0 }), (key) => key)((key) => key);
  is("a refusal by the wrapper", await thrown(() => closed("ada")), "RateLimitExceededError");
  const decision = await limiter.check("ada", { cost: 4 });
  is("an error", new RateLimitExceededError(decision).retryAfter === Infinity, true);

  is("an invalid option", await thrown(() => new AsyncRateLimiter({ maxCalls: 2.5, period: 1 })), "RangeError");
  is("an unknown option", await thrown(() => new AsyncRateLimiter({ ...limit, max: 1 })), "TypeError");
  is("an undefined key", await thrown(() => limiter.check(undefined)), "TypeError");

  const logins = new LoginProtection({ secret: "one secret of at least 32 characters", bypass: false });
  const guess = (cookie) => logins.attempt({ account: "ada", address: "2001:db8::7", cookie });
  const [header] = (await (await guess()).succeeded()).split(";");
  const guesses = await Promise.all(Array.from({ length: 25 }, () => guess()));
  is("25 guesses of a password at once", guesses.filter(({ allowed }) => allowed).length, 5);
  const [known, forged] = [await guess(header), await guess(header.slice(0, -2))];
  is("a known browser", [known.knownBrowser, known.allowed], [true, true]);
  is("a forged cookie", [forged.knownBrowser, forged.allowed], [false, false]);

  const preset = new AsyncRateLimiter(RATE_LIMITS.login);
  is("no bypass by default", testingBypass(), false);
  is("a limit without bypass", (await preset.check("ada", { cost: 6 })).allowed, false);
  if (obeysTesting) {
    globalThis.process.env.TESTING = "1";
    is("TESTING=1", [testingBypass(), (await preset.check("ada", { cost: 6 })).bypassed], [true, true]);
    delete globalThis.process.env.TESTING;
    is("TESTING unset again", testingBypass(), false);
  }
  return result;
}
