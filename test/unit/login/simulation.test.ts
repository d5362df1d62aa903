import { describe, expect, it } from "vitest";
import {
  DAY,
  denseHour,
  forgetfulOwner,
  HOUR,
  mostInAnyWindow,
  stuffedAccounts,
  yearOfAttack,
} from "../../../examples/login/attack.js";

describe("a year of guesses by 10,000 addresses", () => {
  it.each(["impatient", "patient"] as const)(
    "gets a botnet that is %s at most 100 guesses in 30 days, and refuses no login of the owner's browser",
    async (botnet) => {
      const { guesses, laptop } = await yearOfAttack(botnet, 0);
      expect(mostInAnyWindow(guesses, 30 * DAY)).toBe(100);
      expect(guesses.length).toBeGreaterThan(1200);
      expect(guesses.length).toBeLessThanOrEqual(1300);
      expect(laptop).toEqual({ logins: 365, refused: 0 });
    },
  );

  it("gets a botnet at most 100 guesses more for each new phone of the owner, which is known after a link", async () => {
    const { guesses, laptop, phones } = await yearOfAttack("impatient", 4);
    expect(phones.byPassword + phones.byLink).toBe(4);
    expect(guesses.length).toBeGreaterThan(1300);
    expect(guesses.length).toBeLessThanOrEqual(1300 + 4 * 100);
    expect(laptop).toEqual({ logins: 365, refused: 0 });
  });
});

describe("an hour of 10 guesses a second", () => {
  it("lets 15 guesses through, the owner's browser each time, and her without a cookie within an hour", async () => {
    const { guesses, verified, laptop, waitsMs } = await denseHour();
    expect([guesses, verified]).toEqual([36_000, 15]);
    expect(laptop).toEqual({ logins: 10, refused: 0 });
    expect(waitsMs).toHaveLength(12);
    expect(Math.max(...waitsMs)).toBeLessThanOrEqual(HOUR);
  });
});

describe("100,000 accounts that are tried from 100 addresses in an hour", () => {
  it.each([
    ["in 100 networks", 3000],
    ["in one network", 100],
  ] as const)("get few guesses if the addresses are %s", async (addresses, guesses) => {
    expect(await stuffedAccounts(addresses)).toBe(guesses);
  });
});

describe("an owner without a cookie who mistypes the password", () => {
  it.each([
    [4, 0],
    [5, 15 * 60_000],
    [9, 15 * 60_000],
    [10, 45 * 60_000],
  ])("%i times waits %i ms", async (mistakes, waitMs) => {
    expect(await forgetfulOwner(mistakes)).toBe(waitMs);
  });
});
