import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { Redis } from "ioredis";
import { RedisRateLimiter } from "sluicegate/redis";
import { expect, inject, it } from "vitest";
import { RedisProcess, withoutRedis } from "../../support/redis/redis-process.js";

const WORKER = fileURLToPath(new URL("locks-worker.mjs", import.meta.url));

it.skipIf(withoutRedis !== undefined)(
  "unlocks and resets of two processes race with strikes, and none that was decided on an old lock removes a newer one",
  async () => {
    const redis = await RedisProcess.start();
    const client = new Redis(redis.port, "127.0.0.1");
    try {
      const limiter = new RedisRateLimiter({
        ...{ maxCalls: 3, period: "1h", lockFor: "1h", client },
        ...{ timeout: "10s", whenDown: "deny", denyCache: false },
      });
      const workers = [1, 2].map(() => {
        const words = [WORKER, inject("distribution"), redis.port].map(String);
        const worker = spawn(process.execPath, words, { stdio: ["pipe", "pipe", "inherit"] });
        return { worker, lines: createInterface(worker.stdout) };
      });
      await Promise.all(workers.map(({ lines }) => once(lines, "line")));
      let struck = 0;
      for (let round = 0; round < 200; round += 1) {
        const key = `key-${round}`;
        await limiter.check(key, { cost: 3 });
        await limiter.check(key);
        const { lockedUntil } = await limiter.state(key);
        // A lock is identified by its end: a newer one has another.
        await sleep(2);
        const results = workers.map(({ lines }) => once(lines, "line"));
        for (const { worker } of workers) worker.stdin.write(`${JSON.stringify({ key, lockedUntil })}\n`);
        const parsed = (await Promise.all(results)).map(
          ([line]) => JSON.parse(String(line)) as { unlocks: number; strikes: number },
        );
        const strikes = parsed.reduce((sum, result) => sum + result.strikes, 0);
        const unlocks = parsed.reduce((sum, result) => sum + result.unlocks, 0);
        const state = await limiter.state(key);
        const context = JSON.stringify({ round, strikes, unlocks, lockedUntil, state });
        // The first clears the old lock. The refusal that follows sets the only other lock of the round, and that stays.
        expect(strikes, context).toBeLessThanOrEqual(1);
        expect(unlocks, context).toBeLessThanOrEqual(1);
        expect(state.strikes, context).toBe(strikes);
        expect(state.lockedUntil === null, context).toBe(strikes === 0);
        expect(state.calls, context).toBeLessThanOrEqual(3);
        struck += strikes;
      }
      expect(struck).toBeGreaterThan(100);
      for (const { worker } of workers) worker.stdin.end();
    } finally {
      client.disconnect();
      await redis.kill();
    }
  },
);
