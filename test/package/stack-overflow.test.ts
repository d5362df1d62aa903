import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { describe, expect, inject, it } from "vitest";

const run = promisify(execFile);

describe("MemoryStore after stack overflows", () => {
  it.concurrent.each([
    ["--stack-size=300"],
    ["--stack-size=984", "--no-opt", "--no-sparkplug"],
    ["--stack-size=500", "--always-turbofan"],
  ])(
    "keeps every recorded call and counts new keys separately, with %s %s %s",
    { timeout: 120_000 },
    async (...options) => {
      const script = fileURLToPath(new URL("stack-overflow.mjs", import.meta.url));
      const { stdout } = await run(process.execPath, [...options, script, inject("distribution")]);
      const { failed, ...harm } = JSON.parse(stdout) as Record<string, number>;
      expect(failed).toBeGreaterThan(1000);
      expect(harm).toEqual({ lost: 0, wrong: 0 });
    },
  );
});
