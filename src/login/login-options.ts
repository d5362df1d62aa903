import type { Bypass } from "../core/bypass.js";
import type { Duration } from "../core/duration.js";
import { parseDuration } from "../core/duration.js";
import { limitFrom } from "../core/limit.js";
import { lockPolicyFrom } from "../core/locks.js";
import { assertOptionalFunction, parseOptions, rangeError, typeError } from "../core/validate.js";
import type { AsyncRateLimiterOptions } from "../limiter/async-rate-limiter.js";
import type { LimiterOptions, PolicyOptions, StoreOptions } from "../limiter/options.js";
import { checkedOptions } from "../limiter/options.js";
import { foldAccount } from "./account.js";
import type { LoginAttempt, LoginDecision, LoginMember } from "./login-attempt.js";

/** One limit of a {@link LoginProtection}. It replaces the default limit as a whole, with its locks. */
export type LoginLimit = Pick<AsyncRateLimiterOptions, "maxCalls" | "period" | "lockFor" | "forgetAfter">;

/** The cookie of a {@link LoginProtection}. */
export interface LoginCookieOptions {
  /**
   * Its name, which starts with `__Host-`: browsers let no other domain, and no plain HTTP, set such a cookie.
   * @default "__Host-device"
   */
  readonly name?: string | undefined;
  /**
   * How long it is valid after each successful login, at least `"1s"`. Browsers keep no cookie for more than 400 days.
   * @default "365d"
   */
  readonly maxAge?: Duration | undefined;
}

/** Options of a {@link LoginProtection}. Only `secret` is required. */
export type LoginProtectionOptions = {
  /**
   * Signs the cookies: at least 32 characters, random, and the same in all processes. Of several secrets the first one signs, and
   * all verify: put a new one in front, and remove the old one when its cookies have expired. The type allows undefined, so that a
   * variable of the environment can be passed; that is a `TypeError`.
   */
  readonly secret: string | readonly string[] | undefined;
  /**
   * The attempts on one account from all browsers that are not known, together. The attempt after them locks the account for
   * strangers, if the limit has a `lockFor`.
   * @default 5 in 15 minutes, and locks of 15 minutes, 30 minutes and, from the third on, 1 hour
   */
  readonly strangers?: LoginLimit | undefined;
  /** The attempts of one known browser on its account. @default 10 in 1 hour */
  readonly browser?: LoginLimit | undefined;
  /** The attempts from one address (of IPv6, one /64), over all accounts. @default 30 in 1 hour */
  readonly address?: LoginLimit | undefined;
  /** The attempts from one network (a /24 of IPv4, a /48 of IPv6), over all accounts. @default 100 in 1 hour */
  readonly network?: LoginLimit | undefined;
  /**
   * Returns one text for all spellings that your application looks up as the same account.
   * @default foldAccount: without spaces around it, NFKC, lower case
   */
  readonly foldAccount?: ((account: string) => string) | undefined;
  /** The cookie of known browsers. */
  readonly cookie?: LoginCookieOptions | undefined;
  /** The first part of the names that its limiters have in the store. @default "login" */
  readonly name?: string | undefined;
  /** When not to limit: `false`, or a function of the address (of IPv6, of its /64). @default as for every limiter */
  readonly bypass?: Bypass<string> | undefined;
  /** Called once with the decision on each attempt, before the caller gets it. A failure of it is a process warning. */
  readonly onDecision?: ((decision: LoginDecision, attempt: LoginAttempt) => unknown) | undefined;
} & Pick<PolicyOptions<string>, "mode"> &
  StoreOptions;

/** The limits that can be set. */
const SET = ["network", "address", "browser", "strangers"] as const;

const DEFAULTS: Readonly<Record<(typeof SET)[number], LoginLimit>> = {
  network: { maxCalls: 100, period: "1h" },
  address: { maxCalls: 30, period: "1h" },
  browser: { maxCalls: 10, period: "1h" },
  strangers: { maxCalls: 5, period: "15m", lockFor: ["15m", "30m", "1h"] },
};

/** What NIST SP 800-63B, section 3.2.2, allows: 100 failures in a row. After 30 days, the oldest one counts no longer. */
const FAILURES: LoginLimit = { maxCalls: 100, period: "30d" };

const OPTIONS = [...SET, "secret", "foldAccount", "cookie", "name", "store", "clock", "bypass", "mode", "onDecision"];

/** Checked options of a {@link LoginProtection}. */
export interface ParsedLoginOptions {
  readonly options: LoginProtectionOptions;
  /** The limits in the order in which they are checked. */
  readonly limits: readonly (readonly [member: LoginMember, limit: LoginLimit])[];
  readonly secrets: readonly string[];
  readonly cookieName: string;
  readonly maxAgeMs: number;
  readonly foldAccount: (account: string) => string;
}

/** @throws TypeError for an option that is unknown or of the wrong type, RangeError for one out of range. */
export function parseLoginOptions(given: LoginProtectionOptions): ParsedLoginOptions {
  const options = parseOptions("options", given, OPTIONS);
  const { cookie = {}, foldAccount: fold = foldAccount, mode, onDecision, store, clock } = options;
  assertOptionalFunction("onDecision", onDecision);
  checkedOptions({ mode, store, clock } as LimiterOptions<string>, []);
  assertOptionalFunction("foldAccount", fold);
  const { name, maxAge = "365d" } = parseOptions("cookie", cookie, ["name", "maxAge"]);
  const maxAgeMs = parseDuration("cookie.maxAge", maxAge);
  if (maxAgeMs < 1000) throw rangeError("cookie.maxAge", "a duration of at least a second", maxAge);
  const limit = (member: (typeof SET)[number]) => [member, limitOf(member, options[member])] as const;
  return {
    options,
    limits: [
      limit("network"),
      limit("address"),
      limit("browser"),
      ["browserFailures", FAILURES],
      limit("strangers"),
      ["strangerFailures", FAILURES],
    ],
    secrets: secretsFrom(options.secret),
    cookieName: cookieNameFrom(name),
    maxAgeMs,
    foldAccount: fold,
  };
}

function limitOf(member: (typeof SET)[number], option: LoginLimit = DEFAULTS[member]): LoginLimit {
  const limit = parseOptions(member, option, ["maxCalls", "period", "lockFor", "forgetAfter"]);
  limitFrom(limit, `${member}.maxCalls`);
  lockPolicyFrom(limit);
  return limit;
}

function secretsFrom(option: LoginProtectionOptions["secret"]): readonly string[] {
  const rule = "a random string of at least 32 characters, or a list of them";
  const secrets: readonly unknown[] = Array.isArray(option) ? option : [option];
  if (secrets.length === 0) throw rangeError("secret", rule, "[]");
  return secrets.map((secret) => {
    if (typeof secret !== "string") throw typeError("secret", rule, secret);
    // Without the secret, because errors are logged.
    if (secret.length < 32) throw rangeError("secret", rule, `${secret.length} characters`);
    return secret;
  });
}

function cookieNameFrom(name: unknown = "__Host-device"): string {
  const rule = "the name of a cookie that starts with `__Host-`";
  if (typeof name !== "string") throw typeError("cookie.name", rule, name);
  if (!/^__Host-[\w!#$%&'*+.^`|~-]+$/.test(name)) throw rangeError("cookie.name", rule, name);
  return name;
}
