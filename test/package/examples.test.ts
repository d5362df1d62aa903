import { execFile, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { beforeAll, describe, expect, it } from "vitest";
import { freePort } from "../support/free-port.js";
import { audit } from "../../examples/demo/audit.js";
import type { Exchange } from "../../examples/demo/client.js";
import { audit as auditFleet } from "../../examples/fleet/audit.js";
import type { Exchange as FleetExchange } from "../../examples/fleet/traffic.js";
import { withoutRedis } from "../support/redis/redis-process.js";

const run = promisify(execFile);
const root = fileURLToPath(new URL("../../", import.meta.url));

// The global setup has built the package. Another build would remove files that other tests use.
beforeAll(() => {
  execFileSync("npm", ["run", "--silent", "build:examples"], { cwd: root });
});

describe("npm run demo", () => {
  it("prints a timeline and a table, keeps its limits and exits 0, with TESTING=1 too", async () => {
    const { stdout } = await run(process.execPath, ["examples/dist/demo.js"], {
      cwd: root,
      env: { ...process.env, TESTING: "1" },
    });
    expect(stdout).toMatch(/^ {2}1 s {2}ada +2 allowed ##$/m);
    expect(stdout).toMatch(
      /^ {7}script .* refused x+\.\. Retry-After: login (300|29\d) s, passwordReset (3600|359\d) s$/m,
    );
    expect(stdout).toMatch(/^script +login +1 +\d+ +5 +\d+$/m);
    expect(stdout).toMatch(/^crowd +login +30 +36 +36 +0$/m);
    expect(stdout).toContain("no key was admitted more than its limit");
  });

  it("keeps the service running with --serve, and refuses the fourth reset", async () => {
    const port = await freePort();
    const service = spawn(process.execPath, ["examples/dist/demo.js", "--serve"], {
      cwd: root,
      env: { ...process.env, PORT: String(port) },
    });
    try {
      const [printed] = (await once(service.stdout, "data")) as [Buffer];
      const url = `http://127.0.0.1:${port}/password-reset`;
      expect(printed.toString()).toContain(url);
      const statuses: number[] = [];
      let last: Response | undefined;
      for (const email of ["ada@example.org", "ADA@example.org", " ada@example.org", "ada@example.org"]) {
        last = await fetch(url, { method: "POST", body: JSON.stringify({ email }) });
        statuses.push(last.status);
      }
      expect(statuses).toEqual([202, 202, 202, 429]);
      expect(last?.headers.get("retry-after")).toBe("3600");
      expect((await fetch(url, { method: "POST", body: "no JSON" })).status).toBe(400);
      expect((await fetch(url, { method: "POST", body: "null" })).status).toBe(400);
      const long = JSON.stringify({ email: `${"a".repeat(250)}@example.org` });
      expect((await fetch(url, { method: "POST", body: long })).status).toBe(400);
      expect((await fetch(`http://127.0.0.1:${port}/constructor`)).status).toBe(404);
    } finally {
      service.kill();
    }
  });
});

describe("npm run demo:login", () => {
  it("prints what the botnets, the stuffed accounts and the owner got, and exits 0, with TESTING=1 too", async () => {
    const { stdout } = await run(process.execPath, ["examples/dist/login.js"], {
      cwd: root,
      env: { ...process.env, TESTING: "1" },
    });
    expect(stdout).toMatch(
      /^ {2}a botnet that tries until it is refused +1,300 guesses verified, 100 in the busiest 30 days$/m,
    );
    expect(stdout).toMatch(/^ {2}Ada on her laptop meanwhile +365 of 365 logins$/m);
    expect(stdout).toMatch(/^ {2}the botnet +15 of 36,000 guesses verified$/m);
    expect(stdout).toMatch(/^ {2}from 100 addresses in one network +100 of 100,000/m);
  });
});

describe("npm run demo:fleet", () => {
  it.skipIf(withoutRedis !== undefined)(
    "shows a Redis that is killed and restarted, keeps its limits, prints no stack traces and exits 0",
    async () => {
      const { stdout, stderr } = await run(process.execPath, ["examples/dist/fleet-demo.js"], {
        cwd: root,
        env: { ...process.env, TESTING: "1" },
      });
      expect(stderr).toBe("");
      const seconds = [...stdout.matchAll(/^ +(\d+) +(\d+) +(\d+) +(\d+) +(\d+) +(\d+) +[\d.]+$/gm)].map((row) =>
        row.map(Number),
      );
      expect(seconds).toHaveLength(12);
      const sum = (column: number, from: number, to: number): number =>
        seconds.slice(from - 1, to).reduce((total, row) => total + row[column]!, 0);
      const [REDIS, DENY_CACHE, FALLBACK] = [4, 5, 6];
      expect(sum(REDIS, 1, 4)).toBeGreaterThan(50);
      expect(sum(DENY_CACHE, 1, 4)).toBeGreaterThan(sum(REDIS, 1, 4));
      expect([sum(FALLBACK, 1, 4), sum(REDIS, 6, 8)]).toEqual([0, 0]);
      expect(sum(FALLBACK, 6, 8)).toBeGreaterThan(300);
      expect(sum(REDIS, 11, 12)).toBeGreaterThan(20);
      expect(stdout).toContain("every request got a response");
    },
  );

  it("exits 1 with the command that installs redis-server if it is missing", async () => {
    const env = { ...process.env, PATH: "/nowhere" };
    const demo = run(process.execPath, ["examples/dist/fleet-demo.js"], { cwd: root, env });
    await expect(demo).rejects.toMatchObject({
      code: 1,
      stderr: expect.stringContaining("apt-get install redis-server") as string,
    });
  });
});

describe("the fleet demo's audit", () => {
  const CLAIM = { maxCalls: 2, periodMs: 1000, wentAt: 5000, cameBackAt: 9000, withinMs: 500 };
  const exchange = (sentAt: number, status = 200, source = "redis"): FleetExchange => {
    return { user: "ada", status, source, sentAt, receivedAt: sentAt + 10 };
  };
  const wrong = (...exchanges: readonly FleetExchange[]): string[] => auditFleet(exchanges, CLAIM);

  it("accepts windows within the limit, and reports a window with too many calls", () => {
    expect(wrong(exchange(0), exchange(500), exchange(1000), exchange(1500))).toEqual([]);
    expect(wrong(exchange(0), exchange(500), exchange(980))).toEqual(["ada: 3 admitted in one window"]);
  });

  it("accepts twice the limit, and no more, in a window in which Redis goes down or comes back", () => {
    const around = [4900, 4910, 5100, 5200].map((at) => exchange(at, 200, at < 5000 ? "redis" : "fallback"));
    expect(wrong(...around)).toEqual([]);
    expect(wrong(...around, exchange(5300, 200, "fallback"))).toContain("ada: 5 admitted in one window");
    expect(wrong(...[6000, 6100, 6200].map((at) => exchange(at, 200, "fallback")))).toEqual([
      "ada: 3 admitted in one window",
    ]);
  });

  it("reports requests without a response, and decisions by a source that was not in use", () => {
    expect(wrong(exchange(0, 502))).toEqual(["ada got a 502"]);
    expect(wrong(exchange(0, 429, "fallback"))).toEqual(["the fallback decided while Redis was up"]);
    expect(wrong(exchange(9600, 429, "fallback"))).toEqual(["the fallback decided while Redis was up"]);
    expect(wrong(exchange(6000, 429, "redis"))).toEqual(["Redis decided while it was down"]);
  });
});

describe("the paced calls", () => {
  it("reach the server at most five a second, and exit 0", async () => {
    const { stdout } = await run(process.execPath, ["examples/dist/paced-calls.js"], { cwd: root });
    expect(stdout.match(/^ *\d+ +\d+ ms +\*$/gm)).toHaveLength(12);
    expect(stdout).toContain("Most calls in any second: 5 of 5 allowed.");
  });
});

describe.each(["express", "fastify"])("the %s app", (framework) => {
  it("limits all requests by address and user, and logins, uploads and e-mails further", async () => {
    const port = await freePort();
    const app = spawn(process.execPath, [`examples/dist/${framework}-app.js`], {
      cwd: root,
      env: { ...process.env, PORT: String(port) },
    });
    try {
      await Promise.race([once(app.stdout, "data"), once(app, "exit")]);
      const send = (path: string, body?: object, user?: string): Promise<Response> =>
        fetch(`http://127.0.0.1:${port}${path}`, {
          ...(body && { method: "POST", body: JSON.stringify(body) }),
          headers: { "content-type": "application/json", ...(user && { authorization: `Bearer ${user}` }) },
        });
      const statuses = async (times: number, ...request: Parameters<typeof send>): Promise<number[]> => {
        const statuses = [];
        for (let call = 0; call < times; call += 1) statuses.push((await send(...request)).status);
        return statuses;
      };
      expect(await (await send("/")).json()).toEqual({ left: 999 });
      expect(await (await send("/", undefined, "ada")).json()).toEqual({ left: 499 });
      const names = (await send("/email", {}, "ada")).headers.get("ratelimit-policy");
      expect(names).toBe(`"ip";q=1000;w=3600, "user";q=500;w=3600, "email";q=3;w=3600`);
      expect(await statuses(3, "/email", {}, "ada")).toEqual([202, 202, 429]);
      expect(await statuses(1, "/email", {}, "ben")).toEqual([202]);
      expect(await statuses(11, "/upload", {}, "ada")).toEqual([...new Array<number>(10).fill(201), 429]);
      expect(await statuses(7, "/login", { password: "correct horse" })).toEqual(new Array(7).fill(200));
      expect(await statuses(6, "/login", { password: "guess" })).toEqual([401, 401, 401, 401, 401, 429]);
      const refused = await send("/login", { password: "correct horse" });
      expect(refused.status).toBe(429);
      expect(Number(refused.headers.get("retry-after"))).toBeGreaterThan(290);
      expect(await refused.json()).toMatchObject({ "violated-policies": ["login"] });
    } finally {
      app.kill();
    }
  });
});

describe("the user service", () => {
  it("passes its own tests, in both styles", async () => {
    const { stdout } = await run(
      process.execPath,
      ["--test", "--test-reporter=tap", "examples/dist/user-service.test.js"],
      { cwd: root },
    );
    expect(stdout).toMatch(/^# pass 8$/m);
    expect(stdout).toMatch(/^# fail 0$/m);
  });
});

describe("the audit of the demo", () => {
  const claims = {
    passwordReset: { maxCalls: 3, periodMs: 1000 },
    login: { maxCalls: 2, periodMs: 1000 },
    search: { maxCalls: 2, periodMs: 1000 },
  };
  const exchange = (limit: Exchange["limit"], status: number, sentAt: number): Exchange => ({
    client: "ada",
    limit,
    key: "ada",
    status,
    retryAfter: undefined,
    sentAt,
    receivedAt: sentAt + 5,
  });

  it("reports an excess call, and none if the window may have passed", () => {
    const admitted = (...at: number[]) => at.map((sentAt) => exchange("search", 200, sentAt));
    expect(audit(admitted(0, 10, 994), claims)).toEqual(["search of ada: 3 admitted within 1000 ms"]);
    expect(audit(admitted(0, 10, 996), claims)).toEqual([]);
  });

  it("reports a refusal although the window had room", () => {
    const refused = exchange("search", 429, 20);
    expect(audit([exchange("search", 200, 0), refused], claims)).toEqual([
      "search of ada: refused at 19, which no window requires",
    ]);
    expect(audit([exchange("search", 200, 0), exchange("search", 200, 10), refused], claims)).toEqual([]);
  });

  it("does not count successful logins", () => {
    const logins = [200, 200, 200, 401, 401].map((status, at) => exchange("login", status, at * 10));
    expect(audit(logins, claims)).toEqual([]);
    expect(audit([...logins, exchange("login", 401, 60)], claims)).toHaveLength(1);
  });
});
