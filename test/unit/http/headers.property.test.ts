import fc from "fast-check";
import { AsyncRateLimiter, type Decision, LayeredRateLimiter, RateLimitExceededError } from "sluicegate";
import { HttpRateLimiter } from "sluicegate/http";
import { ManualClock } from "sluicegate/testing";
import { parseList } from "structured-headers";
import { describe, expect, it, vi } from "vitest";
import { plainView } from "../../support/http/view.js";

interface Item {
  readonly name: unknown;
  readonly parameters: Readonly<Record<string, unknown>>;
}

/** Reads a field by a parser that shares no code with what wrote it. */
function items(value: string | undefined): Item[] {
  const list = parseList(value ?? "") as readonly (readonly [unknown, ReadonlyMap<string, unknown>])[];
  return list.map(([name, parameters]) => ({ name, parameters: Object.fromEntries(parameters) }));
}

const printable = fc.string({
  unit: fc.integer({ min: 0x20, max: 0x7e }).map((code) => String.fromCharCode(code)),
  minLength: 1,
  maxLength: 12,
});
const limit = fc.record({
  maxCalls: fc.nat(4),
  period: fc
    .oneof(fc.integer({ min: 1, max: 5000 }), fc.integer({ min: 1, max: 100_000_000 }))
    .map((ms) => `${ms}ms` as const),
});
const limits = fc
  .tuple(fc.uniqueArray(printable, { minLength: 1, maxLength: 3 }), fc.array(limit, { minLength: 3, maxLength: 3 }))
  .map(([names, kinds]) => names.map((name, at) => ({ name, ...kinds[at]! })));
const steps = fc.array(fc.record({ wait: fc.oneof(fc.nat(20), fc.nat(4000)), cost: fc.integer({ min: 1, max: 3 }) }), {
  maxLength: 12,
});

describe("the fields of draft 11", () => {
  it("are lists of RFC 9651, equal the decision in whole seconds, and never exceed what remains", async () => {
    await fc.assert(
      fc.asyncProperty(limits, steps, async (layers, calls) => {
        const clock = new ManualClock();
        const limiter = new LayeredRateLimiter({ limits: layers, clock });
        let cost = 1;
        const guard = new HttpRateLimiter({ limiter, cost: () => cost }, plainView);
        for (const call of calls) {
          clock.advance(`${call.wait}ms`);
          cost = call.cost;
          const { decision, fields, rejection } = await guard.handle({});
          const sent = new Map([...fields, ...(rejection?.fields ?? [])]);
          const policies = items(sent.get("RateLimit-Policy"));
          const standing = items(sent.get("RateLimit"));
          expect(policies).toEqual(
            decision!.layers.map(({ name, maxCalls, periodMs }) => ({
              name,
              parameters: { q: maxCalls, w: Math.ceil(periodMs / 1000) },
            })),
          );
          for (const [at, layer] of decision!.layers.entries()) {
            const { name, parameters } = standing[at]!;
            const { r, t } = parameters as { r: number; t?: number };
            expect([name, r]).toEqual([layer.name, layer.remaining]);
            expect(Number.isInteger(t ?? 1) && (t ?? 1) >= 1).toBe(true);
            expect(t === undefined).toBe(layer.moreAfterMs === Infinity);
            // When the window has ended there is more, and a second earlier there is not.
            if (t !== undefined) expect(Math.abs(t * 1000 - layer.moreAfterMs)).toBeLessThan(1000);
          }
          expect(standing).toHaveLength(layers.length);
          expectWait(decision!, sent.get("Retry-After"));
        }
      }),
      { numRuns: 1000 },
    );
  });

  it("end their window at the second in which more calls remain, and not before", async () => {
    await fc.assert(
      fc.asyncProperty(limit, steps, async ({ maxCalls, period }, calls) => {
        const clock = new ManualClock();
        const limiter = new AsyncRateLimiter({ maxCalls, period, clock });
        for (const { wait, cost } of calls) {
          clock.advance(`${wait}ms`);
          const { layers } = await limiter.check("ada", { cost });
          const [{ remaining, moreAfterMs }] = layers as [Decision["layers"][number]];
          if (moreAfterMs === Infinity) {
            expect(remaining === maxCalls || maxCalls === 0).toBe(true);
            continue;
          }
          const now = clock.now();
          clock.set(now + moreAfterMs - 1);
          expect((await limiter.peek("ada")).remaining).toBe(remaining);
          clock.set(now + moreAfterMs);
          expect((await limiter.peek("ada")).remaining).toBeGreaterThan(remaining);
          return;
        }
      }),
      { numRuns: 1000 },
    );
  });

  it("never exceed the window of the limit that binds, rounded up, whatever the time between two milliseconds", async () => {
    const fractions = fc.array(
      fc.record({
        wait: fc.oneof(fc.constant(0), fc.double({ min: 0, max: 3, noNaN: true }), fc.nat(4000)),
        cost: fc.integer({ min: 1, max: 3 }),
      }),
      { maxLength: 12 },
    );
    // Of windows of whole seconds: in no other does the millisecond of rounding come to a second.
    const windows = limits.map((layers) =>
      layers.map((layer, at) => ({ ...layer, maxCalls: at + 1, period: `${at + 1}s` as const })),
    );
    let refusals = 0;
    let capped = 0;
    await fc.assert(
      fc.asyncProperty(
        fc.oneof(limits, windows),
        fractions,
        fc.integer({ min: 0, max: 5000 }),
        async (layers, calls, sinceEpoch) => {
          const clock = new ManualClock();
          const limiter = new LayeredRateLimiter({ limits: layers, clock });
          let cost = 1;
          const guard = new HttpRateLimiter({ limiter, cost: () => cost, headers: "legacy" }, plainView);
          const now = 1_800_000_000_000 + sinceEpoch;
          const dateNow = vi.spyOn(Date, "now").mockReturnValue(now);
          for (const call of calls) {
            clock.set(clock.now() + call.wait);
            cost = call.cost;
            const { decision, fields, rejection } = await guard.handle({});
            const { limit, retryAfterMs } = decision!;
            const sent = new Map([...fields, ...(rejection?.fields ?? [])]);
            const reset = sent.get("X-RateLimit-Reset");
            expect(reset === undefined).toBe(limit.maxCalls === 0);
            if (reset !== undefined) {
              expect(Number(reset)).toBeLessThanOrEqual(Math.ceil((now + limit.periodMs) / 1000));
            }
            if (rejection === undefined || retryAfterMs === Infinity) continue;
            refusals += 1;
            const window = Math.ceil(limit.periodMs / 1000);
            if (Math.ceil(retryAfterMs / 1000) > window) capped += 1;
            const seconds = Number(sent.get("Retry-After"));
            expect(seconds).toBe(Math.min(Math.ceil(retryAfterMs / 1000), window));
            expect(new RateLimitExceededError(decision!).retryAfter).toBe(seconds);
          }
          dateNow.mockRestore();
        },
      ),
      { numRuns: 1000 },
    );
    // Otherwise nothing was tested.
    expect(refusals).toBeGreaterThan(100);
    expect(capped).toBeGreaterThan(10);
  });

  it("hold no name that a header cannot", async () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary", minLength: 1, maxLength: 3 }), (name) => {
        const limiter = new LayeredRateLimiter({ limits: [{ name, maxCalls: 1, period: "1s" }] });
        const make = (headers: "draft-11" | "legacy"): HttpRateLimiter<object> =>
          new HttpRateLimiter({ limiter, headers }, plainView);
        if (/^[\x20-\x7e]+$/.test(name)) make("draft-11");
        else expect(() => make("draft-11")).toThrow(/^Expected `limiter\.limits` to be a name of printable ASCII/);
        expect(make("legacy")).toBeInstanceOf(HttpRateLimiter);
      }),
    );
    const found = new HttpRateLimiter(
      { limiter: () => new AsyncRateLimiter({ name: "é", maxCalls: 1, period: "1s" }) },
      plainView,
    );
    await expect(found.handle({})).rejects.toThrow(RangeError);
  });

  it("round parts of a second up, so that a client that complies is never refused", async () => {
    const limiter = new AsyncRateLimiter({ maxCalls: 10, period: "250ms", clock: new ManualClock() });
    const { fields } = await new HttpRateLimiter({ limiter }, plainView).handle({});
    expect(Object.fromEntries(fields)).toEqual({
      "RateLimit-Policy": `"10-in-250ms";q=10;w=1`,
      RateLimit: `"10-in-250ms";r=9;t=1`,
    });
  });

  it("escape what a string of RFC 9651 must", async () => {
    const limiter = new AsyncRateLimiter({ name: `a"b\\c, d;r=9`, maxCalls: 2, period: "1m" });
    const { fields } = await new HttpRateLimiter({ limiter }, plainView).handle({});
    expect(fields[1]).toEqual(["RateLimit", String.raw`"a\"b\\c, d;r=9";r=1;t=60`]);
    expect(items(fields[1]![1])).toEqual([{ name: `a"b\\c, d;r=9`, parameters: { r: 1, t: 60 } }]);
  });
});

/** `Retry-After` is the first whole second at which the call would pass. @see RFC 9110, section 10.2.3 */
function expectWait({ allowed, retryAfterMs }: Decision, field: string | undefined): void {
  if (allowed || retryAfterMs === Infinity) return expect(field).toBeUndefined();
  expect(field).toMatch(/^[1-9]\d*$/);
  expect(Number(field) * 1000).toBeGreaterThanOrEqual(retryAfterMs);
  expect(Number(field) * 1000 - retryAfterMs).toBeLessThan(1000);
}
