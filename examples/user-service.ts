import { AsyncRateLimiter, type Clock, RATE_LIMITS, rateLimited, RateLimitExceededError } from "sluicegate";

/** The parts of the application that the services use. */
export interface Mailer {
  send(to: string, subject: string): Promise<void>;
}
export interface Profile {
  readonly name: string;
}

/** Each service has its own limiters, so that each test starts with empty logs. */
function limitersOf(clock?: Clock) {
  return {
    passwordReset: new AsyncRateLimiter({ ...RATE_LIMITS.passwordReset, clock }), // 3 per hour
    emailVerify: new AsyncRateLimiter<`user:${number}`>({ ...RATE_LIMITS.emailVerify, clock }), // 5 per hour
    profileUpdate: new AsyncRateLimiter<`user:${number}`>({ maxCalls: 10, period: "1h", clock }),
  };
}

const TOO_MANY_RESETS = "Too many password reset requests. Please try again in an hour.";
const TOO_MANY_MAILS = "Too many verification emails sent. Please try again later.";
const TOO_MANY_UPDATES = "Too many profile updates. Please try again later.";

/** A service whose methods check their limiters themselves. */
export class UserService {
  readonly profiles = new Map<number, Profile>();
  readonly #limiters: ReturnType<typeof limitersOf>;
  readonly #mailer: Mailer;

  constructor(mailer: Mailer, clock?: Clock) {
    this.#mailer = mailer;
    this.#limiters = limitersOf(clock);
  }

  async requestPasswordReset(email: string): Promise<void> {
    const decision = await this.#limiters.passwordReset.check(email);
    if (!decision.allowed) throw new RateLimitExceededError(decision, { message: TOO_MANY_RESETS });
    await this.#mailer.send(email, "Reset your password");
  }

  async sendVerificationEmail(id: number, email: string): Promise<void> {
    const decision = await this.#limiters.emailVerify.check(`user:${id}`);
    if (!decision.allowed) throw new RateLimitExceededError(decision, { message: TOO_MANY_MAILS });
    await this.#mailer.send(email, "Verify your address");
  }

  async updateProfile(id: number, changes: Partial<Profile>): Promise<Profile> {
    const decision = await this.#limiters.profileUpdate.check(`user:${id}`);
    if (!decision.allowed) throw new RateLimitExceededError(decision, { message: TOO_MANY_UPDATES });
    const profile = { name: "", ...this.profiles.get(id), ...changes };
    this.profiles.set(id, profile);
    return profile;
  }
}

/** The same service with its limits as decorators. */
export class DecoratedUserService {
  readonly profiles = new Map<number, Profile>();
  readonly limiters: ReturnType<typeof limitersOf>;
  readonly #mailer: Mailer;

  constructor(mailer: Mailer, clock?: Clock) {
    this.#mailer = mailer;
    this.limiters = limitersOf(clock);
  }

  @rateLimited((self: DecoratedUserService) => self.limiters.passwordReset, (email: string) => email, {
    message: TOO_MANY_RESETS,
  })
  async requestPasswordReset(email: string): Promise<void> {
    await this.#mailer.send(email, "Reset your password");
  }

  @rateLimited((self: DecoratedUserService) => self.limiters.emailVerify, (id: number) => `user:${id}` as const, {
    message: TOO_MANY_MAILS,
  })
  async sendVerificationEmail(_id: number, email: string): Promise<void> {
    await this.#mailer.send(email, "Verify your address");
  }

  @rateLimited((self: DecoratedUserService) => self.limiters.profileUpdate, (id: number) => `user:${id}` as const, {
    message: TOO_MANY_UPDATES,
  })
  async updateProfile(id: number, changes: Partial<Profile>): Promise<Profile> {
    const profile = { name: "", ...this.profiles.get(id), ...changes };
    this.profiles.set(id, profile);
    return profile;
  }
}
