import fc from "fast-check";
import { afterEach, describe, expect, it, vi } from "vitest";
import { StoreError } from "../../../../src/index.js";
import { baseOf, pageOf, RingPages } from "../../../../src/store/memory/ring-pages.js";

const PAGE = 8192;

afterEach(() => {
  vi.unstubAllGlobals();
});

function write(rings: RingPages, ring: number, value: number): void {
  const capacity = (rings.masks[pageOf(ring)] ?? 0) + 1;
  rings.slots[pageOf(ring)]?.fill(value, baseOf(ring), baseOf(ring) + capacity);
}

function read(rings: RingPages, ring: number): Set<number> {
  const capacity = (rings.masks[pageOf(ring)] ?? 0) + 1;
  return new Set(rings.slots[pageOf(ring)]?.subarray(baseOf(ring), baseOf(ring) + capacity));
}

/** The slots of all pages. */
const slotsOf = (rings: RingPages): number => rings.slots.reduce((sum, { length }) => sum + length, 0);

describe("ring pages", () => {
  it("keep the numbers of each ring while others are taken and given back", () => {
    const step = fc.record({ takes: fc.boolean(), log2: fc.constantFrom(2, 4, 6, 7, 12, 13, 14), which: fc.nat() });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 150, size: "max" }), (steps) => {
        const rings = new RingPages();
        const taken: { ring: number; value: number }[] = [];
        for (const [value, { takes, log2, which }] of steps.entries()) {
          if (takes || taken.length === 0) {
            const ring = rings.allocate(2 ** log2);
            expect(ring).toBeGreaterThan(0);
            expect(rings.masks[pageOf(ring)]).toBe(2 ** log2 - 1);
            write(rings, ring, value);
            taken.push({ ring, value });
          } else {
            const [{ ring, value: written }] = taken.splice(which % taken.length, 1) as [(typeof taken)[number]];
            expect(read(rings, ring)).toEqual(new Set([written]));
            rings.free(ring);
          }
        }
        expect(new Set(taken.map(({ ring }) => ring)).size).toBe(taken.length);
        for (const { ring, value } of taken) expect(read(rings, ring)).toEqual(new Set([value]));
      }),
      { numRuns: 100 },
    );
  });

  it("allocate one ring of a capacity first, and double up to a page", () => {
    const rings = new RingPages();
    const lengths = new Set<number>();
    for (let taken = 0; taken < PAGE / 64; taken += 1) {
      rings.allocate(64);
      lengths.add(slotsOf(rings));
    }
    expect([...lengths]).toEqual([64, 128, 256, 512, 1024, 2048, 4096, PAGE]);
    rings.allocate(64);
    expect(slotsOf(rings)).toBe(2 * PAGE);
  });

  it("reuse the ring that was given back last", () => {
    const rings = new RingPages();
    const [first, second] = [rings.allocate(4), rings.allocate(4), rings.allocate(4)] as [number, number, number];
    rings.free(first);
    rings.free(second);
    expect([rings.allocate(4), rings.allocate(4)]).toEqual([second, first]);
  });

  it("drop pages whose rings are all given back, except one of each capacity", () => {
    const rings = new RingPages();
    const taken = Array.from({ length: 10 * (PAGE / 16) }, () => rings.allocate(16));
    expect(slotsOf(rings)).toBe(10 * PAGE);
    for (const ring of taken) rings.free(ring);
    expect(slotsOf(rings)).toBe(PAGE);
    for (let round = 0; round < 5; round += 1) rings.free(rings.allocate(16));
    expect(slotsOf(rings)).toBe(PAGE);
  });

  it("drop the page of an oversized ring immediately, and reuse its number", () => {
    const rings = new RingPages();
    for (let round = 0; round < 10_000; round += 1) {
      const ring = rings.allocate(2 * PAGE);
      expect(slotsOf(rings)).toBe(2 * PAGE);
      rings.free(ring);
      expect(slotsOf(rings)).toBe(0);
    }
    expect(rings.slots.length).toBe(2);
  });

  it("allocate a ring of 2^24 numbers", () => {
    const rings = new RingPages();
    const ring = rings.allocate(2 ** 24);
    expect(rings.slots[pageOf(ring)]?.length).toBe(2 ** 24);
    expect(baseOf(ring)).toBe(0);
  });

  it("throw a StoreError if an allocation fails, and keep all other rings", () => {
    const rings = new RingPages();
    const small = rings.allocate(4);
    write(rings, small, 7);
    const cause = new RangeError("Array buffer allocation failed");
    vi.stubGlobal("Float64Array", function failing() {
      throw cause;
    });
    for (const capacity of [4, 16, 2 ** 20]) {
      expect(() => rings.allocate(capacity)).toThrow(StoreError);
      expect(() => rings.allocate(capacity)).toThrow(expect.objectContaining({ cause }));
    }
    vi.unstubAllGlobals();
    const others = [rings.allocate(4), rings.allocate(16), rings.allocate(2 ** 20)];
    for (const ring of others) write(rings, ring, 1);
    expect(read(rings, small)).toEqual(new Set([7]));
  });
});
