import { execFile, execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";
import { missing } from "../../../support/missing.js";
import { realRedis } from "../../../support/redis/real-redis.js";
import { withoutRedis } from "../../../support/redis/redis-process.js";

/** Why Bun's client cannot be tested here; undefined where it can. In CI it must. */
const withoutBun = missing("no bun here: `npm install --global bun`", () =>
  execFileSync("bun", ["--version"], { stdio: "ignore" }),
);

describe.skipIf(withoutRedis !== undefined || withoutBun !== undefined)("Bun", () => {
  const redis = realRedis();

  it("runs the store contract through its own client", async () => {
    const contract = fileURLToPath(new URL("contract.ts", import.meta.url));
    const env = { ...process.env, REDIS_URL: `redis://127.0.0.1:${redis.client.options.port}` };
    const { stderr } = await promisify(execFile)("bun", ["test", contract], { env });
    expect(stderr).toMatch(/^ [1-9]\d pass\n 0 fail/m);
  });
});
