import { execFile } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { describe, expect, inject, it } from "vitest";

const run = promisify(execFile);
const require = createRequire(import.meta.url);
const consumer = inject("consumer");

function write(name: string, content: string): string {
  const path = join(consumer, name);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, content);
  return path;
}

async function node(name: string, content: string): Promise<string> {
  const { stdout } = await run(process.execPath, [write(name, content)], { cwd: consumer });
  return stdout.trim();
}

const program = `
  const clock = new ManualClock();
  const limiter = new AsyncRateLimiter({ maxCalls: 1, period: "1m", clock });
  const decisions = [];
  (async () => {
    decisions.push(await limiter.check("ada"), await limiter.check("ada"));
    clock.advance("1m");
    decisions.push(await limiter.check("ada"));
    console.log(decisions.map(({ allowed }) => allowed).join());
  })();
`;

describe("the packed package, installed into an empty project", () => {
  it("works from ESM", async () => {
    const imports = `import { AsyncRateLimiter } from "sluicegate"; import { ManualClock } from "sluicegate/testing";`;
    expect(await node("run.mjs", imports + program)).toBe("true,false,true");
  });

  it("works from CommonJS", async () => {
    const imports = `const { AsyncRateLimiter } = require("sluicegate"); const { ManualClock } = require("sluicegate/testing");`;
    expect(await node("run.cjs", imports + program)).toBe("true,false,true");
  });

  it("exports the documented names and no others", async () => {
    const names = await node("names.mjs", `console.log(Object.keys(await import("sluicegate")).sort().join());`);
    expect(names.split(",")).toEqual([
      "AdaptiveRateLimiter",
      "AsyncRateLimiter",
      "DOSProtectionLimiter",
      "LayeredRateLimiter",
      "LimiterClosedError",
      "MemoryEfficientRateLimiter",
      "MemoryStore",
      "RATE_LIMITS",
      "RateLimitExceededError",
      "StoreError",
      "TieredRateLimiter",
      "USER_TIERS",
      "allOf",
      "rateLimited",
      "testingBypass",
    ]);
  });

  it("loads every adapter without its framework, and an ESM adapter accepts a CommonJS limiter", async () => {
    const output = await node(
      "adapters.mjs",
      `import { createRequire } from "node:module";
      const require = createRequire(import.meta.url);
      const names = ["http", "node", "express", "fastify", "koa", "hono", "fetch", "login"];
      const { AsyncRateLimiter } = require("sluicegate");
      const limiter = new AsyncRateLimiter({ maxCalls: 1, period: "1m" });
      for (const name of names) {
        const [esm, cjs] = [await import("sluicegate/" + name), require("sluicegate/" + name)];
        if (Object.keys(esm).join() !== Object.keys(cjs).join()) throw new Error(name);
      }
      const { withRateLimit } = await import("sluicegate/fetch");
      const handler = withRateLimit(async () => new Response("hello"), { limiter, key: () => "ada" });
      const request = async () => (await handler(new Request("https://example.org/"))).status;
      console.log(await request(), await request());`,
    );
    expect(output).toBe("200 429");
  });

  it("names the package that is missing if the module of NestJS is loaded without NestJS", async () => {
    const output = await node(
      "no-nest.mjs",
      `import { createRequire } from "node:module";
      const failed = ({ message }) => console.log(message.split("\\n")[0]);
      await import("sluicegate/nest").catch(failed);
      try { createRequire(import.meta.url)("sluicegate/nest"); } catch (error) { failed(error); }`,
    );
    const [esm, cjs] = output.split("\n");
    expect(esm).toMatch(/^Cannot find package '@nestjs\/common' imported from /);
    expect(cjs).toBe("Cannot find module '@nestjs/common'");
  });

  it("works with limiters of its copy in the other module format, in allOf, `limiters` and refund", async () => {
    const output = await node(
      "two-copies.mjs",
      `import { createRequire } from "node:module";
      import * as esm from "sluicegate";
      import { withRateLimit } from "sluicegate/fetch";
      const cjs = createRequire(import.meta.url)("sluicegate");
      const hour = { maxCalls: 2, period: "1h" };
      for (const [one, other] of [[esm, cjs], [cjs, esm]]) {
        const [a, b] = [new one.AsyncRateLimiter(hour), new other.AsyncRateLimiter({ ...hour, maxCalls: 1 })];
        const both = one.allOf({ a, b });
        const decision = await both.check({ a: "ada", b: "ada" });
        const refused = await both.check({ a: "ada", b: "ada" });
        console.log(decision.allowed, refused.allowed, (await a.state("ada")).calls, await b.refund(decision));
        const key = () => "ada";
        const handler = withRateLimit(async () => new Response(""), {
          limiters: { a: { limiter: a, key }, b: { limiter: b, key } },
        });
        const request = async () => (await handler(new Request("https://example.org/"))).status;
        console.log(await request(), await request());
      }`,
    );
    expect(output.split("\n")).toEqual(["true false 1 true", "200 429", "true false 1 true", "200 429"]);
  });

  it("reads neither clock nor environment and starts no timer on import and in the constructor of a limiter", async () => {
    const watch = `
      const seen = [];
      for (const timer of ["setTimeout", "setInterval", "setImmediate", "queueMicrotask"]) {
        globalThis[timer] = () => seen.push(timer);
      }
      // The module loader of Node reads other variables.
      const get = (env, name) => (["TESTING", "NODE_ENV"].includes(name) && seen.push(name), env[name]);
      process.env = new Proxy(process.env, { get });
      globalThis.performance = { now: () => seen.push("performance.now") };
      Date.now = () => seen.push("Date.now");
    `;
    const output = await node(
      "quiet.cjs",
      `${watch}
      const { AsyncRateLimiter } = require("sluicegate");
      for (const name of ["testing", "http", "node", "express", "fastify", "koa", "hono", "fetch", "kv", "login", "redis"]) require("sluicegate/" + name);
      const atImport = seen.length;
      new AsyncRateLimiter({ maxCalls: 1, period: 1, bypass: false });
      process.stdout.write(JSON.stringify({ atImport, seen }));`,
    );
    expect(JSON.parse(output)).toEqual({ atImport: 0, seen: [] });
  });

  it("works without a global `process`", async () => {
    const output = await node(
      "bare.mjs",
      `const { log } = console;
      delete globalThis.process;
      const { AsyncRateLimiter } = await import("sluicegate");
      const limiter = new AsyncRateLimiter({ maxCalls: 1, period: 1 });
      log(globalThis.process, await limiter.isAllowed("ada"), await limiter.isAllowed("ada"));`,
    );
    expect(output).toBe("undefined true false");
  });
});

describe("the types of the packed package", () => {
  const source = `
    import { AsyncRateLimiter, MemoryStore, RATE_LIMITS, RateLimitExceededError, type Decision } from "sluicegate";
    import { ManualClock } from "sluicegate/testing";
    import { clientKey } from "sluicegate/http";
    import { rateLimit } from "sluicegate/node";
    import { withRateLimit } from "sluicegate/fetch";
    import { KeyValueStore } from "sluicegate/kv";
    import { LoginProtection, type LoginAttempt } from "sluicegate/login";
    import { RedisRateLimiter, RedisStore } from "sluicegate/redis";

    const byAddress = new AsyncRateLimiter(RATE_LIMITS.apiGeneral);
    rateLimit({ limiter: byAddress, key: (request) => clientKey(request, { trustProxy: 1 }) });
    withRateLimit((request) => request.url, { limiter: byAddress });
    const client = async (command: string[]): Promise<unknown> => command.length;
    new RedisRateLimiter({ ...RATE_LIMITS.login, client, timeout: "50ms", whenDown: "deny" });
    new AsyncRateLimiter({ ...RATE_LIMITS.login, store: new RedisStore({ client, instances: 4 }) });
    const exact: "process" = new KeyValueStore({ kv: new Map<string, string>() }).exactAcross;
    export default exact;
    const secrets: string[] = [];
    const logins = new LoginProtection({
      secret: secrets.pop(),
      strangers: { maxCalls: 3, period: "1h", lockFor: ["1m", "1h"] },
      store: new RedisStore({ client }),
      onDecision: ({ member, lockedForMs }, { account }) => [member, lockedForMs, account],
    });
    export const attempt = (cookie: string | null): Promise<LoginAttempt> =>
      logins.attempt({ account: "ada", address: "192.0.2.7", cookie });
    const clock = new ManualClock();
    const limiter = new AsyncRateLimiter<\`user:\${string}\`>({ ...RATE_LIMITS.login, clock, name: undefined });
    export async function login(id: number): Promise<Decision> {
      const decision = await limiter.check(\`user:\${id}\`, { cost: 1 });
      if (!decision.allowed) throw new RateLimitExceededError(decision);
      return decision;
    }
    // @ts-expect-error -- not a key of this limiter
    void limiter.check("guest:1");
    // @ts-expect-error -- the store already has a clock
    new AsyncRateLimiter({ maxCalls: 1, period: "1m", store: new MemoryStore(), clock });
  `;
  // node16 and nodenext distinguish ES modules from CommonJS, and bundlers do not.
  const compilers = [
    ["5.0", "typescript-5.0"],
    ["of this repository", "typescript"],
  ];
  const resolutions = [
    ["node16", "node16", ["types.mts", "types.cts"]],
    ["nodenext", "nodenext", ["types.mts", "types.cts"]],
    ["bundler", "esnext", ["types.ts"]],
    // It does not read `exports`, and finds subpaths in `typesVersions`.
    ["node10", "commonjs", ["types.ts"]],
  ] as const;

  /** Compiles files of the consumer with strict flags, and returns the output of the compiler. */
  async function compile(compiler: string, name: string, files: readonly string[], flags: object): Promise<string> {
    const compilerOptions = {
      noEmit: true,
      strict: true,
      exactOptionalPropertyTypes: true,
      target: "es2022",
      lib: ["es2022"],
      types: [],
      ...flags,
    };
    const project = write(`tsconfig.${name}.json`, JSON.stringify({ compilerOptions, files }));
    const tsc = require.resolve(`${compiler}/lib/tsc.js`);
    const { stdout } = await run(process.execPath, [tsc, "-p", project], { cwd: consumer }).catch(
      (error: unknown) => error as { stdout: string },
    );
    return stdout;
  }

  describe.each(compilers)("compile with TypeScript %s", (_, compiler) => {
    it.each(resolutions)("under moduleResolution %s", async (moduleResolution, module, files) => {
      for (const file of files) write(file, source);
      expect(await compile(compiler, moduleResolution, files, { module, moduleResolution })).toBe("");
    });

    it("accept limiters of the other module format", async () => {
      write(
        "limiters.cts",
        `import { AsyncRateLimiter } from "sluicegate";
        export const plain = new AsyncRateLimiter({ maxCalls: 1, period: "1m" });
        export const ofUsers = new AsyncRateLimiter<\`user:\${string}\`>({ maxCalls: 1, period: "1m" });`,
      );
      write(
        "mixed.mts",
        `import { AsyncRateLimiter, allOf, rateLimited } from "sluicegate";
        import { rateLimit } from "sluicegate/node";
        import { plain, ofUsers } from "./limiters.cjs";
        const own = new AsyncRateLimiter({ maxCalls: 1, period: "1m" });
        const all = allOf({ own, plain, ofUsers });
        void all.check({ own: "ada", plain: "ada", ofUsers: "user:ada" });
        // @ts-expect-error -- not a key of this limiter
        void all.check({ own: "ada", plain: "ada", ofUsers: "ada" });
        rateLimit({ limiter: plain });
        rateLimit({ limiter: ofUsers, key: () => "user:ada" as const });
        rateLimit({ limiters: { own: { limiter: own }, plain: { limiter: () => plain } } });
        rateLimit({ limiters: { plain: { limiter: plain } } });
        // @ts-expect-error -- the default key, an address, is not a key of this limiter
        rateLimit({ limiters: { ofUsers: { limiter: ofUsers } } });
        export const greet = rateLimited(plain, (name: string) => name)(async (name: string) => name);`,
      );
      const flags = { module: "node16", moduleResolution: "node16" };
      expect(await compile(compiler, "mixed", ["mixed.mts"], flags)).toBe("");
    });

    it.each([
      ["standard", false],
      ["legacy", true],
    ])("check the uses of rateLimited with %s decorators", async (mode, experimentalDecorators) => {
      write("wrapper.mts", readFileSync(new URL("../unit/wrap/types.ts", import.meta.url), "utf8"));
      const flags = { module: "node16", moduleResolution: "node16", experimentalDecorators };
      expect(await compile(compiler, mode, ["wrapper.mts"], flags)).toBe("");
    });
  });
});
