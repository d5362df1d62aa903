import { bypassFrom } from "../core/bypass.js";
import { warn } from "../core/callbacks.js";
import { makeDecision } from "../core/decision.js";
import { parseOptions, typeError } from "../core/validate.js";
import type { AllOf } from "../limiter/all-of.js";
import { allOf } from "../limiter/all-of.js";
import { AsyncRateLimiter } from "../limiter/async-rate-limiter.js";
import { notify } from "../limiter/decide.js";
import { storeFrom } from "../limiter/options.js";
import type { KeyState, Store } from "../store/store.js";
import { accountKey } from "./account.js";
import type { ClientKeys } from "./client-keys.js";
import { clientKeys } from "./client-keys.js";
import type { CookieHeader } from "./device-cookie.js";
import { DeviceCookies } from "./device-cookie.js";
import type { LoginDecision, LoginMember } from "./login-attempt.js";
import { LoginAttempt } from "./login-attempt.js";
import type { LoginLimit, LoginProtectionOptions } from "./login-options.js";
import { parseLoginOptions } from "./login-options.js";

/** What {@link LoginProtection.attempt} needs of a request. */
export interface LoginRequest {
  /** The account as the client typed it, whether it exists or not. */
  readonly account: string;
  /** The address of the client: an IP address, or what `clientKey` returns. */
  readonly address: string;
  /** The `Cookie` header. Without it, the browser is not known. */
  readonly cookie?: CookieHeader;
}

type Limiters = Readonly<Record<LoginMember, AsyncRateLimiter>>;

/** The keys of an attempt that no limit applies to. */
const NO_KEYS: Readonly<Record<LoginMember, null>> = {
  network: null,
  address: null,
  browser: null,
  browserFailures: null,
  strangers: null,
  strangerFailures: null,
};

/**
 * Limits the guesses of passwords, and lets the owner of an account in while others guess: by its network, by its address, and
 * then either as a known browser of the account or as a stranger to it.
 *
 * An attempt is counted before the password is verified, in all its limits or in none, and given back by a success. So of 100
 * guesses at once on one account, 5 are verified. A browser is known by a signed cookie, which it gets when someone logs in; it
 * has limits of its own, so strangers cannot lock it out. Strangers to one account share its limits, and a lock.
 *
 * With the default limits, strangers have at most 100 guesses in 30 days on one account, and 100 more after each login of a
 * stranger that succeeds. Known browsers together have another 100 in 30 days; when they are used up, they are strangers.
 *
 * @see https://pages.nist.gov/800-63-4/sp800-63b.html section 3.2.2
 * @see https://owasp.org/www-community/Slow_Down_Online_Guessing_Attacks_with_Device_Cookies
 *
 * @example
 * const logins = new LoginProtection({ secret: process.env.DEVICE_COOKIE_SECRET, store });
 * const attempt = await logins.attempt({ account: email, address: clientKey(request), cookie: request.headers.cookie });
 * if (!attempt.allowed) return tooManyRequests(attempt.decision);
 * if (await verifyPassword(email, password)) response.appendHeader("Set-Cookie", await attempt.succeeded());
 * else await attempt.failed();
 */
export class LoginProtection {
  /**
   * The limiter of each limit, in the order in which they are checked: to read and to clear the keys of a network
   * (`"203.0.113.0/24"`) or of an address, and to change limits by `setMaxCalls`.
   *
   * - `network`, `address`: over all accounts.
   * - `browser`: one known browser of one account. `browserFailures`: all known browsers of an account, 100 in 30 days; above
   *   that they are strangers.
   * - `strangers`: all other browsers of an account, with its lock. `strangerFailures`: the same, 100 in 30 days.
   */
  readonly limiters: Readonly<Record<LoginMember, AsyncRateLimiter>>;

  readonly #limits: AllOf<Limiters>;
  readonly #cookies: DeviceCookies;
  readonly #foldAccount: (account: string) => string;
  readonly #isShadow: boolean;
  readonly #onDecision: LoginProtectionOptions["onDecision"];
  #bypass: ((address: string) => boolean) | undefined;

  /**
   * @throws TypeError for an option that is unknown or of the wrong type, RangeError for one out of range: a `secret` of less than
   *   32 characters, a `name` that the store has already.
   */
  constructor(given: LoginProtectionOptions) {
    const { options, limits, secrets, cookieName, maxAgeMs, foldAccount } = parseLoginOptions(given);
    const { name = "login", mode, bypass, clock, onDecision } = options;
    this.#foldAccount = foldAccount;
    // Its limiters enforce, so that an attempt that one of them refuses is counted in no other, as in enforce mode.
    this.#isShadow = mode === "shadow";
    this.#onDecision = onDecision;
    this.#bypass = bypassFrom(bypass);
    // Processes start at different times, so cookies cannot expire by a clock that starts with one.
    const now = clock === undefined ? Date.now : () => clock.now();
    this.#cookies = new DeviceCookies({ name: cookieName, maxAgeMs, secrets, now });
    this.limiters = limitersOf(limits, name, storeFrom(options));
    this.#limits = allOf(this.limiters);
  }

  /**
   * Counts an attempt to log in, before its password is verified, and decides it. Verify no password if `allowed` is false.
   *
   * In memory and in one Redis it is counted in all its limits or in none, in one step. In a Redis cluster its keys are in several
   * slots, so its limits are checked one after another, in the order of {@link limiters}; what was counted is given back if a later
   * one refuses.
   *
   * @throws TypeError (as a rejection) for a wrong type, RangeError for an address that is none; StoreError if the store cannot
   *   decide; LimiterClosedError after {@link close}.
   */
  async attempt(request: LoginRequest): Promise<LoginAttempt> {
    const { account, address, cookie } = parseOptions("request", request, ["account", "address", "cookie"]);
    const folded = this.#folded(account);
    const client = clientKeys(address);
    const key = await accountKey(folded);
    const nonce = await this.#cookies.read(cookie, key);
    const { decision, knownBrowser } = await this.#decide(client, key, nonce);
    const fields = { account: folded, address: client.address, knownBrowser, decision };
    const attempt = new LoginAttempt(fields, async () => {
      await this.#giveBack(decision, knownBrowser, key);
      return this.#cookies.issue(key, nonce);
    });
    if (this.#onDecision !== undefined) notify(this.#onDecision, decision, attempt);
    return attempt;
  }

  /**
   * Lets everybody try an account again at once: removes its lock and strikes, and forgets all attempts on it but those of each
   * known browser in the last hour. For administrators, and for a password reset by e-mail.
   *
   * @throws TypeError (as a rejection) if the account is not a string, StoreError if the store fails.
   */
  async unlock(account: string): Promise<void> {
    const key = await accountKey(this.#folded(account));
    const { strangers, strangerFailures, browserFailures } = this.limiters;
    await Promise.all([strangers, strangerFailures, browserFailures].map((limiter) => limiter.reset(key)));
  }

  /**
   * Returns what is counted on an account: the attempts of strangers, with their lock and strikes, and the failures of strangers and
   * of known browsers in 30 days.
   *
   * @throws TypeError (as a rejection) if the account is not a string, StoreError if the store fails.
   *
   * @example
   * const { strangers, strangerFailures } = await logins.state("ada@example.org");
   * console.log(`locked for ${strangers.lockedForMs} ms after ${strangerFailures.calls} failures`);
   */
  async state(
    account: string,
  ): Promise<Readonly<Record<"strangers" | "strangerFailures" | "browserFailures", KeyState>>> {
    const key = await accountKey(this.#folded(account));
    const [strangers, strangerFailures, browserFailures] = await Promise.all([
      this.limiters.strangers.state(key),
      this.limiters.strangerFailures.state(key),
      this.limiters.browserFailures.state(key),
    ]);
    return { strangers, strangerFailures, browserFailures };
  }

  /** Closes all its limiters, and releases their names in the store: see `RateLimiter.close`. */
  close(): void {
    this.#bypass = undefined;
    for (const limiter of Object.values(this.limiters)) limiter.close();
  }

  #folded(account: unknown): string {
    if (typeof account !== "string") throw typeError("account", "a string", account);
    const folded: unknown = this.#foldAccount(account);
    if (typeof folded !== "string") throw typeError("foldAccount(account)", "a string, and no promise of one", folded);
    return folded;
  }

  /** Decides as for a known browser; without a nonce, or when known browsers have used up their failures, as for a stranger. */
  async #decide(
    client: ClientKeys,
    key: string,
    nonce: string | undefined,
  ): Promise<{ decision: LoginDecision; knownBrowser: boolean }> {
    if (this.#bypass?.(client.address) === true) {
      return { decision: await this.#limits.check(NO_KEYS), knownBrowser: nonce !== undefined };
    }
    const keys = { ...NO_KEYS, ...client };
    if (nonce !== undefined) {
      const decision = await this.#limits.check({ ...keys, browser: nonce, browserFailures: key });
      // A store that is full or down refuses as well, whoever asks.
      const areUsedUp = decision.members.browserFailures?.refusedBy === "limit";
      if (!areUsedUp) return { decision: this.#enforced(decision), knownBrowser: true };
    }
    const decision = await this.#limits.check({ ...keys, strangers: key, strangerFailures: key });
    return { decision: this.#enforced(decision), knownBrowser: false };
  }

  /** The decision; in shadow mode, a refusal allows the attempt. */
  #enforced(decision: LoginDecision): LoginDecision {
    if (!this.#isShadow || decision.allowed) return decision;
    const { member, members } = decision;
    return Object.assign(makeDecision({ ...decision, allowed: true, shadowed: true }), { member, members });
  }

  /**
   * Gives an attempt back. A stranger who succeeds also ends the row of failures that NIST bounds. A known browser does not: its owner
   * may log in every day, and would each time allow 100 guesses more to whoever has another cookie of the account.
   */
  async #giveBack(decision: LoginDecision, knownBrowser: boolean, key: string): Promise<void> {
    // A bypassed attempt is no business of the store.
    if (decision.bypassed) return;
    const changes: Promise<unknown>[] = [this.#limits.refund(decision)];
    if (!knownBrowser) changes.push(this.limiters.strangerFailures.reset(key));
    for (const change of await Promise.allSettled(changes)) {
      if (change.status === "rejected")
        warn("SLUICEGATE_REFUND_FAILED", "A refund failed; a successful login stays counted", change.reason);
    }
  }
}

/** Opens the limiters, in the order of the limits. */
function limitersOf(limits: readonly (readonly [LoginMember, LoginLimit])[], name: string, store: Store): Limiters {
  const opened = new Map<LoginMember, AsyncRateLimiter>();
  try {
    for (const [member, limit] of limits) {
      opened.set(member, new AsyncRateLimiter({ ...limit, name: `${name}/${member}`, store, bypass: false }));
    }
  } catch (error) {
    // A later name is in use, or the store has no locks: release the names before it.
    for (const limiter of opened.values()) limiter.close();
    throw error;
  }
  return Object.fromEntries(opened) as unknown as Limiters;
}
