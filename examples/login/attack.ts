/**
 * Attacks on a login, on a clock that is moved from one event to the next, so that a year takes a second. Each function returns what
 * the clients got.
 */
import { type LoginAttempt, LoginProtection } from "sluicegate/login";
import { ManualClock } from "sluicegate/testing";

const MINUTE = 60_000;
export const HOUR: number = 60 * MINUTE;
export const DAY: number = 24 * HOUR;
const ADA = "ada@example.org";

/** A login on a manual clock, and the clients that try it. */
class World {
  readonly clock = new ManualClock();
  readonly logins = new LoginProtection({
    secret: "a secret for this simulation only",
    clock: this.clock,
    bypass: false,
  });
  #bots = 0;

  attempt(account: string, address: string, cookie?: string): Promise<LoginAttempt> {
    return this.logins.attempt({ account, address, cookie });
  }

  /** An attempt of the next bot of 10,000, each of which has a network to itself. */
  botAttempt(): Promise<LoginAttempt> {
    this.#bots = (this.#bots + 1) % 10_000;
    return this.attempt(ADA, `10.${this.#bots >> 8}.${this.#bots & 255}.1`);
  }

  /** Logs in, whatever the limits say, and returns the cookie: by a link in an e-mail. */
  async loginByLink(account: string, address: string): Promise<string> {
    return cookieOf(await this.attempt(account, address));
  }
}

/** The `Cookie` header after an attempt that succeeds. */
async function cookieOf(attempt: LoginAttempt): Promise<string> {
  return (await attempt.succeeded()).split(";", 1)[0] ?? "";
}

/** Someone who does something at some instants. */
interface Actor {
  nextAt: number;
  act(now: number): Promise<void>;
}

/** Lets the actors act in the order of their instants; of several at one instant, the first listed. */
async function run(clock: ManualClock, actors: readonly Actor[], until: number): Promise<void> {
  for (;;) {
    const [first] = [...actors].sort((one, other) => one.nextAt - other.nextAt);
    if (first === undefined || first.nextAt >= until) return;
    clock.set(first.nextAt);
    await first.act(first.nextAt);
  }
}

/** How a botnet tries: until it is refused; or as often as the limit of strangers allows, so that it is never locked. */
export type Botnet = "impatient" | "patient";

/** What a botnet got in a year, and the owner of the account. */
export interface Year {
  /** Instants at which a guess was verified. */
  readonly guesses: readonly number[];
  /** How many guesses were refused. */
  refusedGuesses: number;
  /** Logins on a known browser, and how many of them were refused. */
  readonly laptop: { logins: number; refused: number };
  /** Logins on new phones: by password at once, or by a link in an e-mail, because the password was refused. */
  readonly phones: { byPassword: number; byLink: number };
}

/**
 * A year in which 10,000 bots try the password of Ada at each instant at which they may. She logs in on her laptop once a day,
 * and mistypes up to four times; and on as many new phones.
 */
export async function yearOfAttack(botnet: Botnet, newPhones: number): Promise<Year> {
  const world = new World();
  const guesses: number[] = [];
  const year: Year = {
    guesses,
    refusedGuesses: 0,
    laptop: { logins: 0, refused: 0 },
    phones: { byPassword: 0, byLink: 0 },
  };
  let cookie = await world.loginByLink(ADA, "192.0.2.7");
  const bots: Actor = {
    nextAt: 0,
    async act(now) {
      let inARow = 0;
      for (;;) {
        const attempt = await world.botAttempt();
        if (!attempt.allowed) {
          year.refusedGuesses += 1;
          this.nextAt = now + attempt.decision.retryAfterMs;
          return;
        }
        guesses.push(now);
        await attempt.failed();
        inARow += 1;
        if (botnet === "patient" && inARow === 5) {
          this.nextAt = now + 15 * MINUTE;
          return;
        }
      }
    },
  };
  const laptop: Actor = {
    nextAt: 9 * HOUR,
    async act(now) {
      const day = year.laptop.logins;
      for (let mistakes = 0; mistakes < day % 5; mistakes += 1) {
        await (await world.attempt(ADA, "192.0.2.7", cookie)).failed();
      }
      const attempt = await world.attempt(ADA, "192.0.2.7", cookie);
      year.laptop.logins += 1;
      if (attempt.allowed) cookie = await cookieOf(attempt);
      else year.laptop.refused += 1;
      // Not always at the same time of the day.
      this.nextAt = (day + 1) * DAY + ((day * 7) % 24) * HOUR;
      if (this.nextAt <= now) this.nextAt = now + 1;
    },
  };
  const phones: Actor = {
    nextAt: newPhones === 0 ? Infinity : 20 * DAY,
    async act(now) {
      const attempt = await world.attempt(ADA, "198.51.100.7");
      if (attempt.allowed) year.phones.byPassword += 1;
      else year.phones.byLink += 1;
      const known = await world.attempt(ADA, "198.51.100.7", await cookieOf(attempt));
      if (!known.knownBrowser || !known.allowed) throw new Error("A phone that is known was refused");
      await known.succeeded();
      // The success has forgotten the failures of strangers, and the bots notice at once.
      bots.nextAt = now;
      this.nextAt = now + (365 * DAY) / newPhones;
    },
  };
  await run(world.clock, [bots, laptop, phones], 365 * DAY);
  return year;
}

/** The most of some instants, in ascending order, that lie in one window. */
export function mostInAnyWindow(instants: readonly number[], periodMs: number): number {
  let [most, first] = [0, 0];
  for (const [last, at] of instants.entries()) {
    while ((instants[first] as number) <= at - periodMs) first += 1;
    most = Math.max(most, last - first + 1);
  }
  return most;
}

/** What became of an hour of attack. */
export interface DenseHour {
  guesses: number;
  verified: number;
  readonly laptop: { logins: number; refused: number };
  /** How long a client without a cookie waited that came in each minute, in milliseconds. */
  readonly waitsMs: number[];
}

/**
 * An hour in which bots guess the password of Ada ten times a second. She logs in on her laptop every six minutes; and in every fifth
 * minute someone who has her password, and no cookie, comes and tries again when the response says so.
 */
export async function denseHour(): Promise<DenseHour> {
  const world = new World();
  const hour: DenseHour = { guesses: 0, verified: 0, laptop: { logins: 0, refused: 0 }, waitsMs: [] };
  let cookie = await world.loginByLink(ADA, "192.0.2.7");
  const bots: Actor = {
    nextAt: 0,
    async act(now) {
      const attempt = await world.botAttempt();
      hour.guesses += 1;
      if (attempt.allowed) hour.verified += 1;
      this.nextAt = now + 100 < HOUR ? now + 100 : Infinity;
    },
  };
  const laptop: Actor = {
    nextAt: MINUTE,
    async act(now) {
      const attempt = await world.attempt(ADA, "192.0.2.7", cookie);
      hour.laptop.logins += 1;
      if (attempt.allowed) cookie = await cookieOf(attempt);
      else hour.laptop.refused += 1;
      this.nextAt = now + 6 * MINUTE < HOUR ? now + 6 * MINUTE : Infinity;
    },
  };
  const visitors = Array.from({ length: 12 }, (_, visitor): Actor => {
    const cameAt = visitor * 5 * MINUTE + 30_000;
    return {
      nextAt: cameAt,
      async act(now) {
        const attempt = await world.attempt(ADA, `198.51.100.${visitor}`);
        this.nextAt = attempt.allowed ? Infinity : now + attempt.decision.retryAfterMs;
        if (!attempt.allowed) return;
        await attempt.succeeded();
        hour.waitsMs.push(now - cameAt);
      },
    };
  });
  await run(world.clock, [bots, ...visitors, laptop], DAY);
  return hour;
}

/** How many of 100,000 accounts get one guess each in an hour, from 100 addresses: in networks of their own, or in one network. */
export async function stuffedAccounts(addresses: "in 100 networks" | "in one network"): Promise<number> {
  const world = new World();
  let verified = 0;
  for (let round = 0; round < 1000; round += 1) {
    world.clock.set(Math.floor((round * HOUR) / 1000));
    const attempts = Array.from({ length: 100 }, (_, bot) =>
      world.attempt(
        `user${round * 100 + bot}@example.org`,
        addresses === "in one network" ? `10.0.0.${bot}` : `10.0.${bot}.1`,
      ),
    );
    verified += (await Promise.all(attempts)).filter(({ allowed }) => allowed).length;
  }
  return verified;
}

/** How long someone without a cookie waits who mistypes the password as often as that, while no one attacks; in milliseconds. */
export async function forgetfulOwner(mistakes: number): Promise<number> {
  const world = new World();
  for (let made = 0; ;) {
    const attempt = await world.attempt(ADA, "192.0.2.7");
    if (!attempt.allowed) world.clock.set(world.clock.now() + attempt.decision.retryAfterMs);
    else if (made < mistakes) made += 1;
    else return world.clock.now();
  }
}
