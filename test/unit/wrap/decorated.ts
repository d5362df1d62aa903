import { AsyncRateLimiter, rateLimited } from "sluicegate";

const shared = new AsyncRateLimiter({ maxCalls: 2, period: "1h", bypass: false });

/** A service with decorated methods. The tests compile it in both decorator modes. */
export class Accounts {
  readonly resets = new AsyncRateLimiter({ maxCalls: 1, period: "1h", bypass: false });
  readonly sent: string[] = [];
  readonly greeting: string;

  constructor(greeting: string) {
    this.greeting = greeting;
  }

  @rateLimited((self: Accounts) => self.resets, (email: string) => email, { message: "Try again in an hour." })
  async requestPasswordReset(email: string, language = "en"): Promise<string> {
    this.sent.push(email);
    return `${this.greeting} ${email} (${language})`;
  }

  @rateLimited(shared, (id: number) => `user:${id}`)
  async sendVerification(id: number): Promise<number> {
    return id;
  }

  @rateLimited(shared, (id: number) => `static:${id}`, { onRefused: () => -1 })
  static async count(id: number): Promise<number> {
    return id;
  }
}
