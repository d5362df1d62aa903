import fc from "fast-check";
import { StoreError } from "sluicegate";
import { describe, expect, it } from "vitest";
import { KeyRecord } from "../../../src/kv/key-record.js";

const instant = fc.integer({ min: -(2 ** 51), max: 2 ** 51 });
const units = fc.integer({ min: 1, max: 50 });

const anyRecord = fc
  .record({
    epoch: fc.integer({ min: 0, max: 2 ** 48 - 1 }),
    latest: instant,
    longestMs: fc.integer({ min: 1, max: 2 ** 50 }),
    lock: fc.option(fc.record({ lockedUntil: instant, strikes: fc.nat() }), { nil: undefined }),
    calls: fc.array(fc.tuple(instant, units), { maxLength: 20 }),
  })
  .map(({ calls, ...fields }) => {
    const record = Object.assign(new KeyRecord(), fields);
    calls.sort(([one], [other]) => one - other);
    for (const [timestamp, cost] of calls) record.append(timestamp, cost);
    return { record, timestamps: calls.flatMap(([timestamp, cost]) => Array<number>(cost).fill(timestamp)) };
  });

const example = (): KeyRecord => {
  const record = Object.assign(new KeyRecord(), { epoch: 35, latest: 1000, longestMs: 3_600_000 });
  for (const [timestamp, cost] of [
    [10, 1],
    [10, 2],
    [50, 1],
    [1000, 400],
  ] as const)
    record.append(timestamp, cost);
  return record;
};

describe("the record of a key", () => {
  it("is the same after it was written and read, whatever is in it", () => {
    fc.assert(
      fc.property(anyRecord, ({ record, timestamps }) => {
        const read = KeyRecord.parse(record.toString());
        const { epoch, latest, longestMs, lock } = read;
        expect([epoch, latest, longestMs, lock]).toEqual([record.epoch, record.latest, record.longestMs, record.lock]);
        expect(timestamps.map((_, at) => read.nthMostRecent(timestamps.length - at))).toEqual(timestamps);
        expect(read.nthMostRecent(timestamps.length + 1)).toBe(-Infinity);
        for (const instant of timestamps) {
          expect(read.countAfter(instant)).toBe(timestamps.filter((other) => other > instant).length);
        }
      }),
    );
  });

  it("is a short text, which other parsers take neither for a number nor for JSON", () => {
    const text = example().toString();
    expect(text).toBe("sg1.z.rs.255s0..a*3,14,qe*b4.");
    expect(Number(text)).toBeNaN();
    expect(() => JSON.parse(text) as unknown).toThrow(SyntaxError);
    expect(text).toMatch(/^[\w.,*-]+$/);
  });

  it("takes as many bytes for each call as its comment says", () => {
    const bytes = (gapMs: number): number => {
      const record = Object.assign(new KeyRecord(), { latest: 0, longestMs: 1 });
      const empty = record.toString().length;
      for (let at = 0; at < 1000; at += 1) record.append(1.8e12 + at * gapMs, 1);
      return (record.toString().length - empty) / 1000;
    };
    expect(bytes(0)).toBeLessThan(0.1);
    expect(bytes(1)).toBeLessThan(2.1);
    expect(bytes(5000)).toBeLessThan(4.1);
    expect(bytes(3_600_000)).toBeLessThan(6.1);
  });

  it.each<[string, unknown]>([
    ["another version", "sg2.z.rs.255s0..a."],
    ["an empty text", ""],
    ["a number", 123],
    ["an object, as of a store that parses JSON", { sg1: 1 }],
    ["bytes", new Uint8Array(3)],
    ["JSON", "[1,2,3]"],
    ["a text that was cut off in a number", "sg1.z.rs.255s0..a*3,1"],
    ["a text that was cut off before its end", "sg1.z.rs.255s0..a*3,14,qe*b4"],
    ["a field too many", "sg1.z.rs.255s0..a.1."],
    ["a log that was cut off in a list", "sg1.z.rs.255s0..a,."],
    ["upper case", "SG1.Z.RS.255S0..A."],
    ["upper case in a number", "sg1.Z.rs.255s0..a."],
    ["spaces", " sg1.z.rs.255s0..a. "],
    ["a number with leading zeros", "sg1.0z.rs.255s0..a."],
    ["a fraction", "sg1.z,1.rs.255s0..a."],
    ["a number above 2^53", "sg1.zzzzzzzzzzzz.rs.255s0..a."],
    ["timestamps whose sum is above 2^53", "sg1.z.rs.255s0..2gosa7pa2gv,2gosa7pa2gv."],
    ["a timestamp twice", "sg1.z.rs.255s0..a,0."],
    ["timestamps out of order", "sg1.z.rs.255s0..a,-1."],
    ["units of 1 that are written", "sg1.z.rs.255s0..a*1."],
    ["units of 0", "sg1.z.rs.255s0..a*0."],
    ["units twice", "sg1.z.rs.255s0..a*3*3."],
    ["a lock without strikes", "sg1.z.rs.255s0.a.a."],
    ["a lock with more", "sg1.z.rs.255s0.a*1*1.a."],
  ])("is not read from %s", (_what, text) => {
    expect(() => KeyRecord.parse(text)).toThrow(StoreError);
  });

  it("is read from no text but that which it is written as", () => {
    const alphabet = Array.from("sg1.z.rs.255s0..a*3,14,qe*b4.-");
    const change = fc.record({ at: fc.nat({ max: 29 }), to: fc.constantFrom("", ...alphabet) });
    fc.assert(
      fc.property(fc.array(change, { minLength: 1, maxLength: 4 }), (changes) => {
        let text = example().toString();
        for (const { at, to } of changes) text = text.slice(0, at) + to + text.slice(at + 1);
        let read: string;
        try {
          read = KeyRecord.parse(text).toString();
        } catch (error) {
          expect(error).toBeInstanceOf(StoreError);
          return;
        }
        expect(read).toBe(text);
      }),
      { numRuns: 20_000 },
    );
  });
});
