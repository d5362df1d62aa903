/**
 * The types that the wrapper accepts and rejects. This file is compiled with every supported compiler in both decorator modes, and
 * never runs.
 */
import { AsyncRateLimiter, type Decision, rateLimited } from "sluicegate";

const users = new AsyncRateLimiter<`user:${string}`>({ maxCalls: 1, period: "1m" });
const any = new AsyncRateLimiter({ maxCalls: 1, period: "1m" });

// The types of arguments and result are kept; the result is a promise.
const send = rateLimited(any, (email: string) => email)((email: string, urgent?: boolean) => [email, urgent] as const);
export const sent: Promise<readonly [string, boolean | undefined]> = send("ada", true);
// @ts-expect-error -- not a string
void send(7);
// @ts-expect-error -- one argument too many
void send("ada", true, 1);
export const once: Promise<number> = rateLimited(any, () => "all")(async () => Promise.resolve(1))();

// Keys have the type of the limiter's keys.
rateLimited(users, (id: number) => `user:${id}`);
rateLimited(users, async (id: number): Promise<`user:${string}`> => `user:${id}`);
// @ts-expect-error -- a guest is not a user
rateLimited(users, (id: number) => `guest:${id}`);
// @ts-expect-error -- not any string
rateLimited(users, (email: string) => email);
// @ts-expect-error -- not a number
rateLimited(any, (id: number) => id);

// The target may have more parameters than keyOf. If it has fewer, the wrapped function has those of keyOf.
rateLimited(any, (email: string) => email)((email: string, ...more: number[]) => [email, more]);
rateLimited(any, () => "all")((email: string) => email);
const fewer = rateLimited(any, (email: string) => email)(() => 1);
void fewer("ada");
// @ts-expect-error -- keyOf needs the argument
void fewer();
// @ts-expect-error -- the argument is a string in keyOf and a number in the target
rateLimited(any, (email: string) => email)((id: number) => id);

// `this` is kept.
const add = rateLimited(
  any,
  () => "all",
)(function (this: { base: number }, a: number) {
  return this.base + a;
});
export const sum: Promise<number> = add.call({ base: 1 }, 2);
// @ts-expect-error -- called without this
void add(2);

// keyOf may derive the key from this, with any limiter.
const scoped = rateLimited(any, function (this: { id: string }) {
  return this.id;
})(function (this: { id: string }, a: number) {
  return a;
});
export const mine: Promise<number> = scoped.call({ id: "ada" }, 7);
// @ts-expect-error -- called without this
void scoped(7);

// onRefused adds to the type of the result; refundWhen receives the result; cost receives the arguments.
const lenient = rateLimited(any, (email: string) => email, {
  onRefused: (decision: Decision, [email]) => `${email.toUpperCase()}: ${decision.reason}`,
  cost: (email) => email.length,
  maxCalls: async (email) => Promise.resolve(email.length),
})((email: string) => email.length);
export const either: Promise<string | number> = lenient("ada");
rateLimited(any, (email: string) => email, {
  refundWhen: (outcome: PromiseSettledResult<boolean>) => outcome.status === "fulfilled" && outcome.value,
})(async (email: string) => Promise.resolve(email === "ada"));
rateLimited(any, (email: string) => email, {
  refundWhen: (outcome: PromiseSettledResult<boolean>) => outcome.status === "fulfilled" && outcome.value,
  // @ts-expect-error -- the result of the target has another type than refundWhen expects
})((email: string) => email);
rateLimited(any, (email: string) => email, { refundWhen: ({ status }) => status === "rejected" })(() => 1);

// A timeout has a unit.
// @ts-expect-error -- a string with its unit
export const unitless = (): unknown => rateLimited(any, () => "all", { wait: { timeout: 5 } });

class Accounts {
  readonly resets = users;

  @rateLimited(any, (email: string) => email)
  async reset(email: string, language?: string): Promise<string> {
    return Promise.resolve(`${email} ${language ?? ""}`);
  }

  @rateLimited((self: Accounts) => self.resets, (id: number) => `user:${id}`)
  async verify(id: number): Promise<number> {
    return Promise.resolve(id);
  }

  @rateLimited(any, (email: string) => email, { onRefused: () => undefined })
  async maybe(email: string): Promise<string | undefined> {
    return Promise.resolve(email);
  }

  @rateLimited(any, (key: string) => key)
  async generic<X>(key: string, value: X): Promise<X> {
    return Promise.resolve(key === "" ? value : value);
  }

  @rateLimited(any, (key: string) => key)
  async narrow(key: "a" | "b"): Promise<string> {
    return Promise.resolve(key);
  }

  @rateLimited(any, function (this: Accounts) {
    return this.resets.name;
  })
  async own(): Promise<void> {
    return Promise.resolve();
  }

  @rateLimited(any, () => "all", { wait: { timeout: "1s", maxQueue: 3 } })
  static async all(): Promise<void> {
    return Promise.resolve();
  }

  // @ts-expect-error -- a synchronous method would return a promise
  @rateLimited(any, (email: string) => email)
  synchronous(email: string): string {
    return email;
  }

  // @ts-expect-error -- keyOf has a parameter that the method does not have
  @rateLimited(any, (email: string) => email)
  async keyless(): Promise<void> {
    return Promise.resolve();
  }

  // @ts-expect-error -- not a number
  @rateLimited(any, (email: string) => email)
  async numbered(id: number): Promise<number> {
    return Promise.resolve(id);
  }

  // @ts-expect-error -- the method returns a string, and onRefused a number
  @rateLimited(any, (email: string) => email, { onRefused: () => 7 })
  async other(email: string): Promise<string> {
    return Promise.resolve(email);
  }

  // @ts-expect-error -- the method results in a string, and refundWhen expects a boolean
  @rateLimited(any, () => "all", {
    refundWhen: (outcome: PromiseSettledResult<boolean>) => outcome.status === "rejected",
  })
  async login(): Promise<string> {
    return Promise.resolve("");
  }

  // @ts-expect-error -- the limiters of another class
  @rateLimited((self: { limiters: Map<string, typeof any> }) => self.limiters.get("a") ?? any, () => "all")
  async foreign(): Promise<void> {
    return Promise.resolve();
  }
}

export const generic: Promise<number> = new Accounts().generic("ada", 7);
export const result: Promise<string> = new Accounts().reset("ada", "de");
// @ts-expect-error -- not a string
void new Accounts().reset(7);
