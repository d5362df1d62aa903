import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { NO_OWNER, StampPages } from "../../src/core/stamp-pages.js";

/** Stamps that the pages have room for. */
const room = ({ pages }: StampPages): number => pages.reduce((sum, { length }) => sum + length, 0);

describe("stamp pages", () => {
  it("keep the blocks of any sizes apart, and tell who moves, through any taking and giving back", () => {
    const log2 = fc.constantFrom(0, 0, 1, 2, 5, 6, 12, 13, 14);
    const step = fc.oneof(
      fc.record({ log2, owner: fc.nat(), gives: fc.constant(false) }),
      fc.record({ log2: fc.constant(0), owner: fc.nat(), gives: fc.constant(true) }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
        const pages = new StampPages();
        const blocks = new Map<number, { log2: number; page: number; base: number }>();
        /** The first and the last slot of a block tell whose it is. */
        const ends = ({ log2: size, page, base }: { log2: number; page: number; base: number }): unknown[] => [
          pages.pages[page]?.[base],
          pages.pages[page]?.[base + 2 ** size - 1],
        ];
        for (const [at, { log2: size, owner: anybody, gives }] of steps.entries()) {
          if (!gives) {
            const block = pages.take(size, at);
            const taken = { log2: size, page: pages.pageOf(size, block), base: pages.baseOf(size, block) };
            blocks.set(at, taken);
            pages.pages[taken.page]?.fill(at, taken.base, taken.base + 2 ** size);
          } else if (blocks.size > 0) {
            const [owner, { log2: its, page, base }] = [...blocks][anybody % blocks.size] as [number, never];
            blocks.delete(owner);
            const moved = pages.give(its, page, base);
            if (moved !== NO_OWNER) {
              expect(blocks.get(moved)?.log2).toBe(its);
              blocks.set(moved, { log2: its, page, base });
            }
          }
          for (const [owner, block] of blocks) expect(ends(block)).toEqual([owner, owner]);
        }
      }),
      { numRuns: 100 },
    );
  });

  it("begin with one block, and double until a page is full", () => {
    const pages = new StampPages();
    const rooms = [1, 2, 3, 4, 5].map(() => {
      pages.take(1, 0);
      return room(pages);
    });
    // Each block has its owner's slot beside its two.
    expect(rooms).toEqual([3, 6, 12, 12, 24]);
    for (let block = 5; block < 2 ** 12; block += 1) pages.take(1, 0);
    expect(pages.pages).toHaveLength(2);
    pages.take(1, 0);
    expect(pages.pages.map(({ length }) => length)).toEqual([0, 3 * 2 ** 12, 3 * 2 ** 12]);
  });

  it("give memory back as blocks come back, in whatever order, but for one page", () => {
    const pages = new StampPages();
    const blocks = 5 * 2 ** 12;
    for (let block = 0; block < blocks; block += 1) pages.take(1, block);
    const full = room(pages);
    for (let left = blocks; left > 0; left -= 1) {
      const block = ((left * 7919 + 6151) % 15_013) % left;
      pages.give(1, pages.pageOf(1, block), pages.baseOf(1, block));
      expect(room(pages)).toBeLessThanOrEqual((Math.ceil((left - 1) / 2 ** 12) + 1) * 3 * 2 ** 12);
    }
    expect(room(pages)).toBe(full / 5);
  });

  it("neither make nor drop a page where one block comes and goes at its border", () => {
    const pages = new StampPages();
    for (let block = 0; block <= 2 ** 12; block += 1) pages.take(1, block);
    const border = pages.pages[2];
    for (let round = 0; round < 3; round += 1) {
      pages.give(1, pages.pageOf(1, 2 ** 12), pages.baseOf(1, 2 ** 12));
      expect(pages.take(1, 7)).toBe(2 ** 12);
      expect(pages.pages[2]).toBe(border);
    }
  });

  it("use the numbers of dropped pages again, also for blocks of another size", () => {
    const pages = new StampPages();
    const owners = [1, 2, 3].map((owner) => pages.take(13, owner));
    expect(owners.map((block) => pages.pageOf(13, block))).toEqual([1, 2, 3]);
    expect(pages.give(13, 1, 1)).toBe(3);
    expect(room(pages)).toBe(2 * (2 ** 13 + 1));
    expect(pages.pageOf(14, pages.take(14, 4))).toBe(3);
    expect(pages.pages).toHaveLength(4);
  });
});
