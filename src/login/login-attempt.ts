import { receiptOf } from "../core/decision.js";
import type { AllOfDecision } from "../limiter/all-of.js";

/** The limits of a login, by what they count: see `LoginProtection.limiters`. */
export type LoginMember = "network" | "address" | "browser" | "browserFailures" | "strangers" | "strangerFailures";

/** The decision on an attempt to log in. Its `member` is the limit that refuses, or that has the least remaining. */
export type LoginDecision = AllOfDecision<LoginMember>;

/** What is known of an attempt to log in. */
interface AttemptFields {
  readonly account: string;
  readonly address: string;
  readonly knownBrowser: boolean;
  readonly decision: LoginDecision;
}

const NO_COOKIE = Promise.resolve("");

/**
 * One attempt to log in, which counts from the start. What is called first decides what becomes of it: {@link succeeded},
 * {@link failed} or {@link refund}. If none is called, because the process ends or the client hangs up, it stays counted.
 */
export class LoginAttempt {
  /** Whether the password may be verified. Always true in shadow mode. */
  readonly allowed: boolean;
  /** The decision, for the response and for logs. Its `member` is the limit that refuses. */
  readonly decision: LoginDecision;
  /** The account, folded. */
  readonly account: string;
  /** The address of the client; of IPv6, its /64. */
  readonly address: string;
  /** Whether it counts as a known browser's: its cookie is valid for this account, and known browsers have failures left. */
  readonly knownBrowser: boolean;

  readonly #succeed: () => Promise<string>;
  /** Set when the outcome is known. */
  #cookie: Promise<string> | undefined;

  /** @param succeed - gives the attempt back, and returns the cookie. */
  constructor({ account, address, knownBrowser, decision }: AttemptFields, succeed: () => Promise<string>) {
    this.allowed = decision.allowed;
    this.decision = decision;
    this.account = account;
    this.address = address;
    this.knownBrowser = knownBrowser;
    this.#succeed = succeed;
  }

  /**
   * Gives the attempt back, and returns a `Set-Cookie` header that makes the browser known. If it was a stranger's, the failures of
   * strangers in 30 days are forgotten. It removes no lock. Call it after the last factor, whoever signs in: also after a link in an
   * e-mail, a passkey, or a refused attempt, if you know by other means that this is the owner.
   *
   * A known browser keeps its nonce. The second call returns the same header; after {@link failed} or {@link refund} it changes
   * nothing and returns the empty string. If the store fails, the attempt stays counted, with a process warning, and the login goes
   * on.
   *
   * @example
   * response.appendHeader("Set-Cookie", await attempt.succeeded());
   */
  succeeded(): Promise<string> {
    return (this.#cookie ??= this.#succeed());
  }

  /** Leaves the attempt counted, whatever is called later: the password, or the second factor, was wrong. */
  async failed(): Promise<void> {
    this.#cookie ??= NO_COOKIE;
  }

  /**
   * Gives the attempt back and nothing else: the password was right and a second factor follows in another request, or it could not
   * be verified because a database failed.
   *
   * @returns true if anything was removed; false also after {@link succeeded} or {@link failed}.
   * @throws StoreError (as a rejection) if the store fails.
   */
  async refund(): Promise<boolean> {
    if (this.#cookie !== undefined) return false;
    this.#cookie = NO_COOKIE;
    return (await receiptOf(this.decision)?.refund()) ?? false;
  }
}
