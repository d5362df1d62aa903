import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { expect, inject, it } from "vitest";
import { RedisProcess, withoutRedis } from "../../support/redis/redis-process.js";

const WORKER = fileURLToPath(new URL("login-worker.mjs", import.meta.url));

it.skipIf(withoutRedis !== undefined)(
  "two processes on one Redis, with 100 guesses each at once on one account, allow 5 of them",
  async () => {
    const redis = await RedisProcess.start();
    try {
      const workers = [1, 2].map((network) => {
        const words = [WORKER, inject("distribution"), redis.port, network].map(String);
        const worker = spawn(process.execPath, words, { stdio: ["pipe", "pipe", "inherit"] });
        return { worker, lines: createInterface(worker.stdout) };
      });
      await Promise.all(workers.map(({ lines }) => once(lines, "line")));
      const counts = workers.map(({ lines }) => once(lines, "line"));
      for (const { worker } of workers) worker.stdin.write("go\n");
      const allowed = (await Promise.all(counts)).map(([count]) => Number(count));
      expect(allowed.reduce((sum, count) => sum + count)).toBe(5);
    } finally {
      await redis.kill();
    }
  },
);
