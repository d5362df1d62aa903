import { createHash } from "node:crypto";
import fc from "fast-check";
import { AsyncRateLimiter, type Decision, LayeredRateLimiter, MemoryStore } from "sluicegate";
import type { HeaderOptions } from "sluicegate/http";
import { HttpRateLimiter, appendHeader } from "sluicegate/http";
import { ManualClock } from "sluicegate/testing";
import { parseDictionary, parseList } from "structured-headers";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { plainView } from "../../support/http/view.js";

/** Fields by name. */
type Fields = Readonly<Record<string, string>>;

const START = 1_800_000_000_000;
const clock = new ManualClock();

beforeEach(() => {
  clock.set(0);
  vi.spyOn(Date, "now").mockImplementation(() => START + clock.now());
});
afterEach(() => {
  vi.restoreAllMocks();
});

async function fieldsOf(limiter: HttpRateLimiter<object>): Promise<Fields> {
  const { fields, rejection } = await limiter.handle({});
  const all = Object.fromEntries([...fields, ...(rejection?.fields ?? [])]);
  delete all["Cache-Control"];
  return all;
}

/** The header cases of the tests of express-rate-limit 8 and hono-rate-limiter 0.5: one request of the key "foo". */
const FIRST_REQUESTS: readonly (readonly [
  peer: string,
  headers: HeaderOptions["headers"],
  limiter: { readonly maxCalls: number; readonly period: `${number}${"m" | "h"}`; readonly name?: string },
  fields: Fields,
])[] = [
  [
    "express-rate-limit and hono-rate-limiter",
    "draft-6",
    { maxCalls: 5, period: "1m" },
    {
      "RateLimit-Policy": "5;w=60",
      "RateLimit-Limit": "5",
      "RateLimit-Remaining": "4",
      "RateLimit-Reset": "60",
    },
  ],
  [
    "express-rate-limit and hono-rate-limiter",
    "draft-7",
    { maxCalls: 5, period: "1m" },
    { "RateLimit-Policy": "5;w=60", RateLimit: "limit=5, remaining=4, reset=60" },
  ],
  // Without a name, theirs would be "5-in-2hrs", and ours "5-in-2h".
  [
    "express-rate-limit",
    "draft-8",
    { maxCalls: 5, period: "2h", name: "5-in-2hrs" },
    { "RateLimit-Policy": `"5-in-2hrs"; q=5; w=7200; pk=:MmMyNmI0NmI2OGZm:`, RateLimit: `"5-in-2hrs"; r=4; t=7200` },
  ],
  [
    "express-rate-limit",
    "draft-8",
    { maxCalls: 5, period: "2h", name: "keep-kalm" },
    { "RateLimit-Policy": `"keep-kalm"; q=5; w=7200; pk=:MmMyNmI0NmI2OGZm:`, RateLimit: `"keep-kalm"; r=4; t=7200` },
  ],
  [
    "express-rate-limit",
    "legacy",
    { maxCalls: 5, period: "1m" },
    { "X-RateLimit-Limit": "5", "X-RateLimit-Remaining": "4", "X-RateLimit-Reset": "1800000060" },
  ],
];

const draft6 = (remaining: number, reset: number): Fields => ({
  "RateLimit-Policy": "2;w=60",
  "RateLimit-Limit": "2",
  "RateLimit-Remaining": String(remaining),
  "RateLimit-Reset": String(reset),
});
const draft7 = (remaining: number, reset: number): Fields => ({
  "RateLimit-Policy": "2;w=60",
  RateLimit: `limit=2, remaining=${remaining}, reset=${reset}`,
});
const draft8 = (remaining: number, reset: number): Fields => ({
  "RateLimit-Policy": `"2-in-1m"; q=2; w=60; pk=:MmMyNmI0NmI2OGZm:`,
  RateLimit: `"2-in-1m"; r=${remaining}; t=${reset}`,
});
const legacy = (remaining: number, reset: number): Fields => ({
  "X-RateLimit-Limit": "2",
  "X-RateLimit-Remaining": String(remaining),
  "X-RateLimit-Reset": String(reset),
});
const refused = (fields: Fields, seconds: number): Fields => ({ ...fields, "Retry-After": String(seconds) });

/**
 * What express-rate-limit 8.7.5 sends for requests at these seconds, with 2 in a window of 60 s. hono-rate-limiter 0.5.4 sends the
 * same in drafts 6 and 7. `ours` is where an exact window gives other numbers.
 */
const TIMELINES: readonly (readonly [
  headers: HeaderOptions["headers"],
  requests: readonly { readonly at: number; readonly theirs: Fields; readonly ours?: Fields }[],
])[] = [
  ...([["draft-6", draft6] as const, ["draft-7", draft7] as const, ["draft-8", draft8] as const] as const).map(
    ([headers, fields]) =>
      [
        headers,
        [
          { at: 0, theirs: fields(1, 60) },
          { at: 20, theirs: fields(0, 40) },
          { at: 20.5, theirs: refused(fields(0, 40), 40) },
          { at: 59, theirs: refused(fields(0, 1), 1) },
          // Their window begins again, and forgets the request at 20 s. It is 40 s old, so one more request passes here, not two.
          { at: 60, theirs: fields(1, 60), ours: fields(0, 20) },
          { at: 60.5, theirs: fields(0, 60), ours: refused(fields(0, 20), 20) },
        ],
      ] as const,
  ),
  [
    "legacy",
    [
      { at: 0, theirs: legacy(1, 1_800_000_060) },
      // `Reset` is when all requests are available again: 60 s after the last one, and not at the end of a fixed window.
      { at: 20, theirs: legacy(0, 1_800_000_060), ours: legacy(0, 1_800_000_080) },
      { at: 20.5, theirs: refused(legacy(0, 1_800_000_060), 40), ours: refused(legacy(0, 1_800_000_080), 40) },
    ],
  ],
];

describe("the header formats", () => {
  it.each(FIRST_REQUESTS)("equal those of %s byte for byte in %s", async (_peer, headers, limiter, expected) => {
    const partitionKey = headers === "draft-8";
    const options = { limiter: new AsyncRateLimiter({ ...limiter, clock }), key: () => "foo", headers, partitionKey };
    expect(await fieldsOf(new HttpRateLimiter(options, plainView))).toEqual(expected);
  });

  it.each(TIMELINES)("equal those of the peers in %s as long as their window is exact", async (headers, requests) => {
    const limiter = new HttpRateLimiter(
      {
        limiter: new AsyncRateLimiter({ maxCalls: 2, period: "1m", clock }),
        key: () => "foo",
        headers,
        partitionKey: headers === "draft-8",
      },
      plainView,
    );
    for (const { at, theirs, ours } of requests) {
      clock.set(at * 1000);
      expect([at, await fieldsOf(limiter)]).toEqual([at, ours ?? theirs]);
    }
  });

  it("equal the five headers that express-rate-limit appends in draft 8 for a chain of limits", async () => {
    const chain = (
      [
        ["1-in-5sec", 1, "5s"],
        ["5-in-1min", 5, "1m"],
        ["6-in-1hr", 6, "1h"],
        ["7-in-1day", 7, "1d"],
        ["8-in-2days", 8, "2d"],
      ] as const
    ).map(([name, maxCalls, period]) => {
      const limiter = new AsyncRateLimiter({ name, maxCalls, period, clock });
      return new HttpRateLimiter({ limiter, key: () => "foo", headers: "draft-8", partitionKey: true }, plainView);
    });
    const sent: Record<string, string> = {};
    for (const limiter of chain) {
      for (const field of (await limiter.handle({})).fields) sent[field[0]] = appendHeader(field, sent[field[0]]);
    }
    expect(sent).toEqual({
      "RateLimit-Policy": [
        `"1-in-5sec"; q=1; w=5; pk=:MmMyNmI0NmI2OGZm:`,
        `"5-in-1min"; q=5; w=60; pk=:MmMyNmI0NmI2OGZm:`,
        `"6-in-1hr"; q=6; w=3600; pk=:MmMyNmI0NmI2OGZm:`,
        `"7-in-1day"; q=7; w=86400; pk=:MmMyNmI0NmI2OGZm:`,
        `"8-in-2days"; q=8; w=172800; pk=:MmMyNmI0NmI2OGZm:`,
      ].join(", "),
      RateLimit: [
        `"1-in-5sec"; r=0; t=5`,
        `"5-in-1min"; r=4; t=60`,
        `"6-in-1hr"; r=5; t=3600`,
        `"7-in-1day"; r=6; t=86400`,
        `"8-in-2days"; r=7; t=172800`,
      ].join(", "),
    });
  });

  it("show every limit as a policy, and in drafts 6 and 7 the limit that binds", async () => {
    const limits = [
      { name: "burst", maxCalls: 2, period: "10s" },
      { name: "daily", maxCalls: 100, period: "1d" },
    ] as const;
    const of = (headers: HeaderOptions["headers"]): Promise<Fields> =>
      fieldsOf(new HttpRateLimiter({ limiter: new LayeredRateLimiter({ limits, clock }), headers }, plainView));
    expect(await of("draft-6")).toEqual({
      "RateLimit-Policy": "2;w=10, 100;w=86400",
      "RateLimit-Limit": "2",
      "RateLimit-Remaining": "1",
      "RateLimit-Reset": "10",
    });
    expect(await of("draft-7")).toEqual({
      "RateLimit-Policy": "2;w=10, 100;w=86400",
      RateLimit: "limit=2, remaining=1, reset=10",
    });
    expect(await of("draft-8")).toEqual({
      "RateLimit-Policy": `"burst"; q=2; w=10, "daily"; q=100; w=86400`,
      RateLimit: `"burst"; r=1; t=10, "daily"; r=99; t=86400`,
    });
  });

  it("list one policy for each quota in drafts 6 and 7, which forbid two", async () => {
    const limits = ["10s", "1d", "1m"].map((period) => ({ name: period, maxCalls: 5, period: period as "10s" }));
    const limiter = new LayeredRateLimiter({ limits, clock });
    const fields = await fieldsOf(new HttpRateLimiter({ limiter, headers: "draft-7" }, plainView));
    expect(fields["RateLimit-Policy"]).toBe("5;w=86400");
  });

  it.each(["draft-6", "draft-7", "draft-8"] as const)("refer in %s to the time of Retry-After", async (headers) => {
    let cost = 3;
    const limiter = new AsyncRateLimiter({ maxCalls: 4, period: "1m", clock });
    const http = new HttpRateLimiter({ limiter, headers, cost: () => cost }, plainView);
    await http.handle({});
    clock.set(10_000);
    cost = 1;
    await http.handle({});
    clock.set(20_000);
    // One more is available after 40 s, but four only after 50 s.
    cost = 4;
    const fields = await fieldsOf(http);
    expect(fields["Retry-After"]).toBe("50");
    expect(Object.values(fields).join()).toMatch(/(?:^|,)50(?:,|$)|(?:reset|t)=50(?:,|$)/);
    expect(Object.values(fields).join()).not.toContain("40");
  });

  it("show the window as the reset of a limit that never allows a call", async () => {
    const limiter = new AsyncRateLimiter({ maxCalls: 0, period: "1m", clock });
    const of = (headers: HeaderOptions["headers"]): Promise<Fields> =>
      fieldsOf(new HttpRateLimiter({ limiter, headers }, plainView));
    expect(await of("draft-6")).toMatchObject({ "RateLimit-Limit": "0", "RateLimit-Reset": "60" });
    expect(await of("draft-7")).toMatchObject({ RateLimit: "limit=0, remaining=0, reset=60" });
    expect(await of("draft-8")).toMatchObject({ RateLimit: `"0-in-1m"; r=0; t=60` });
  });

  it("show the wait for room in drafts 6 and 7 if the store is full", async () => {
    const store = new MemoryStore({ maxKeys: 1, onFull: "deny", clock });
    const limiter = new AsyncRateLimiter({ maxCalls: 5, period: "1m", store });
    await limiter.check("other");
    const fields = await fieldsOf(new HttpRateLimiter({ limiter, headers: "draft-6" }, plainView));
    expect(fields["RateLimit-Reset"]).toBe(fields["Retry-After"]);
  });

  it("show Reset in seconds from now or since 1970 by the option resetFormat", async () => {
    const of = async (options: HeaderOptions): Promise<string | undefined> => {
      const limiter = new AsyncRateLimiter({ maxCalls: 2, period: "90500ms", clock });
      const fields = await fieldsOf(new HttpRateLimiter({ limiter, ...options }, plainView));
      return fields["RateLimit-Reset"] ?? fields["X-RateLimit-Reset"];
    };
    expect(await of({ headers: "draft-6" })).toBe("91");
    expect(await of({ headers: "draft-6", resetFormat: "epoch" })).toBe("1800000091");
    expect(await of({ headers: "legacy" })).toBe("1800000091");
    expect(await of({ headers: "legacy", resetFormat: "seconds" })).toBe("91");
    expect(await of({ headers: "both", resetFormat: "seconds" })).toBe("91");
  });

  it("are structured fields from draft 7 on", async () => {
    const limiter = new LayeredRateLimiter({ limits: [{ name: `a"b\\c, d`, maxCalls: 3, period: "1m" }], clock });
    const of = (options: HeaderOptions): Promise<Fields> =>
      fieldsOf(new HttpRateLimiter({ limiter, ...options }, plainView));
    const seven = await of({ headers: "draft-7" });
    expect([...parseDictionary(seven["RateLimit"]!).keys()]).toEqual(["limit", "remaining", "reset"]);
    expect(parseList(seven["RateLimit-Policy"]!)).toEqual([[3, new Map([["w", 60]])]]);
    for (const headers of ["draft-8", "draft-11"] as const) {
      const fields = await of({ headers, partitionKey: true });
      for (const value of Object.values(fields)) expect(parseList(value)[0]![0]).toBe(`a"b\\c, d`);
      expect(parseList(fields["RateLimit-Policy"]!)[0]![1].get("pk")).toBeInstanceOf(ArrayBuffer);
    }
  });
});

describe("partition keys", () => {
  const pkOf = async (key: string): Promise<string | undefined> => {
    const limiter = new AsyncRateLimiter({ maxCalls: 2, period: "1m", clock });
    const options = { limiter, key: () => key, partitionKey: true };
    const { fields } = await new HttpRateLimiter(options, plainView).handle({});
    const [policy, status] = fields.map(([, value]) => /;pk=:([^:]+):$/.exec(value)?.[1]);
    expect(status).toBe(policy);
    return policy;
  };

  it("are the first 12 digits of the SHA-256 of the key in UTF-8, in Base64", async () => {
    await fc.assert(
      fc.asyncProperty(fc.string({ unit: "grapheme", maxLength: 80 }), async (key) => {
        fc.pre(key.length <= 256 && !key.startsWith("sha256:"));
        const digest = createHash("sha256").update(key).digest("hex").slice(0, 12);
        expect(await pkOf(key)).toBe(Buffer.from(digest).toString("base64"));
      }),
      { numRuns: 300 },
    );
  });

  it("differ by limiter if the keys do", async () => {
    const limiter = (name: string): AsyncRateLimiter =>
      new AsyncRateLimiter({ maxCalls: 2, period: "1m", name, clock });
    const options = {
      limiters: {
        ip: { limiter: limiter("ip"), key: () => "203.0.113.7" },
        user: { limiter: limiter("user"), key: () => "foo" },
      },
      partitionKey: true,
    };
    const fields = await fieldsOf(new HttpRateLimiter(options, plainView));
    const ip = Buffer.from(createHash("sha256").update("203.0.113.7").digest("hex").slice(0, 12)).toString("base64");
    expect(fields["RateLimit"]).toBe(`"ip";r=1;t=60;pk=:${ip}:, "user";r=1;t=60;pk=:MmMyNmI0NmI2OGZm:`);
    expect(fields["RateLimit-Policy"]).toBe(`"ip";q=2;w=60;pk=:${ip}:, "user";q=2;w=60;pk=:MmMyNmI0NmI2OGZm:`);
  });

  it("are absent by default", async () => {
    const limiter = new AsyncRateLimiter({ maxCalls: 2, period: "1m", clock });
    for (const headers of ["draft-8", "draft-11"] as const) {
      const fields = await fieldsOf(new HttpRateLimiter({ limiter, headers }, plainView));
      expect(Object.values(fields).join()).not.toContain("pk=");
    }
  });
});

describe("the header options", () => {
  const limiter = { check: (): Promise<Decision> => Promise.reject(new Error("unused")) };
  const make = (options: object) => (): unknown => new HttpRateLimiter({ limiter, ...options }, plainView);

  it.each([
    [{ headers: "draft-9" }, RangeError, /^Expected `headers` to be "draft-11" or "draft-8" or /],
    [{ headers: true }, TypeError, /^Expected `headers` to be "draft-11" or /],
    [{ headers: "legacy", resetFormat: "iso" }, RangeError, /^Expected `resetFormat` to be "seconds" or "epoch"/],
    [
      { resetFormat: "epoch" },
      TypeError,
      /^Expected `resetFormat` to be absent unless `headers` is one of "draft-6", "legacy", "both"/,
    ],
    [{ headers: "draft-7", resetFormat: "seconds" }, TypeError, /^Expected `resetFormat` to be absent/],
    [{ partitionKey: "yes" }, TypeError, /^Expected `partitionKey` to be a boolean/],
    [
      { headers: "draft-7", partitionKey: true },
      TypeError,
      /^Expected `partitionKey` to be absent unless `headers` is one of "draft-11", "draft-8", "both"/,
    ],
    [{ headers: false, partitionKey: true }, TypeError, /^Expected `partitionKey` to be absent/],
    [{ lockedStatus: 404 }, RangeError, /^Expected `lockedStatus` to be 429 or 403/],
    [{ lockedStatus: "403" }, TypeError, /^Expected `lockedStatus` to be 429 or 403/],
    [{ ban: 3 }, TypeError, /lockFor/],
    [{ exposeHeaders: "*" }, TypeError, /^Expected `exposeHeaders` to be a boolean/],
  ])("%j throw if they are invalid", (options, type, message) => {
    expect(make(options)).toThrow(type);
    expect(make(options)).toThrow(message);
  });

  it("allow partitionKey: false with every format", () => {
    for (const headers of ["draft-6", "draft-7", "legacy", false]) {
      expect(make({ headers, partitionKey: false })).not.toThrow();
    }
  });
});

describe("the headers of a locked key", () => {
  it.each([
    // A lock that was set by hand ends before the window allows more.
    ["10s", `"2-in-1m";r=0;t=30`, "60"],
    ["40s", `"2-in-1m";r=0;t=40`, "60"],
    ["90s", `"2-in-1m";r=0;t=90`, "90"],
  ] as const)("show that nothing remains until lock and window allow it: %s", async (duration, expected, reset) => {
    const limiter = new AsyncRateLimiter({ maxCalls: 2, period: "1m", clock });
    const of = (options: HeaderOptions): Promise<Fields> =>
      fieldsOf(new HttpRateLimiter({ limiter, key: () => "foo", ...options }, plainView));
    await limiter.check("foo");
    clock.set(30_000);
    await limiter.check("foo");
    await limiter.lock("foo", duration);
    expect((await of({}))["RateLimit"]).toBe(expected);
    expect((await of({ headers: "legacy", resetFormat: "seconds" }))["X-RateLimit-Reset"]).toBe(reset);
  });

  it.each(["draft-6", "draft-7", "draft-8"] as const)("refer in %s to the time of Retry-After", async (headers) => {
    const limiter = new AsyncRateLimiter({ maxCalls: 2, period: "1m", clock });
    const http = new HttpRateLimiter({ limiter, key: () => "foo", headers }, plainView);
    await limiter.check("foo");
    for (const duration of ["10s", "90s"] as const) {
      await limiter.lock("foo", duration);
      const fields = await fieldsOf(http);
      const seconds = Number.parseInt(duration);
      expect(fields["Retry-After"]).toBe(String(seconds));
      const reset = fields["RateLimit-Reset"] ?? /(?:reset|t)=(\d+)$/.exec(fields["RateLimit"] ?? "")?.[1];
      expect(reset).toBe(String(seconds));
    }
  });
});

describe("appendHeader", () => {
  it.each([
    ["a list of strings", ["RateLimit", `"b";r=1`], `"a";r=2`, `"a";r=2, "b";r=1`],
    ["the lines of a list", ["RateLimit", `"c";r=1`], [`"a";r=2`, `"b";r=3`], `"a";r=2, "b";r=3, "c";r=1`],
    ["an absent field", ["RateLimit", `"b";r=1`], undefined, `"b";r=1`],
    [
      "a field of draft 7",
      ["RateLimit", "limit=5, remaining=4, reset=60"],
      "limit=2, remaining=1, reset=9",
      "limit=5, remaining=4, reset=60",
    ],
    ["a policy of draft 7", ["RateLimit-Policy", "5;w=60"], "5;w=10", "5;w=60"],
    ["another field", ["X-RateLimit-Limit", "5"], "2", "5"],
    [
      "names",
      ["Access-Control-Expose-Headers", "RateLimit, Retry-After"],
      "ETag,ratelimit",
      "ETag,ratelimit, Retry-After",
    ],
    ["lines of names", ["Access-Control-Expose-Headers", "RateLimit"], ["ETag", "Link"], "ETag, Link, RateLimit"],
    ["a wildcard", ["Access-Control-Expose-Headers", "RateLimit"], "*", "*, RateLimit"],
  ] as const)("merges %s", (_what, entry, before, expected) => {
    expect(appendHeader(entry, before)).toBe(expected);
  });
});
