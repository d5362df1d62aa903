import { Redis } from "ioredis";
import { createClient, createClientPool } from "redis";
import { AsyncRateLimiter, type Decision, MemoryStore } from "sluicegate";
import { rateLimit } from "sluicegate/express";
import { RedisRateLimiter, RedisStore } from "sluicegate/redis";

/** What must compile, and what must not, against the real clients. It is type-checked and never run. */
export async function types(): Promise<Decision> {
  const hour = { maxCalls: 3, period: "1h" } as const;
  const client = new Redis();
  new RedisStore({ client });
  new RedisStore({ client: createClient() });
  new RedisStore({ client: createClient({ RESP: 2 }) });
  new RedisStore({ client: createClientPool() });
  new RedisStore({ client: (command) => client.call(...(command as [string])) });
  new RedisStore({ client: async (command: string[]) => command.length });
  new RedisStore({ client: async (command: readonly string[]) => command.length, whenDown: new MemoryStore() });
  // @ts-expect-error an address is no client
  new RedisStore({ client: "redis://localhost" });
  // @ts-expect-error a number has no unit
  new RedisStore({ client, timeout: 100 });
  // @ts-expect-error no such word
  new RedisStore({ client, whenDown: "open" });
  // @ts-expect-error the clock is the server's
  new RedisRateLimiter({ ...hour, client, clock: { now: () => 0 } });

  const users = new RedisRateLimiter<`user:${string}`>({ ...hour, client });
  // @ts-expect-error a key that is none of the limiter's
  void users.check("admin");
  rateLimit({ limiter: new AsyncRateLimiter({ ...hour, store: new RedisStore({ client }) }) });
  return users.check("user:7");
}
