import type { StoreError } from "../core/errors.js";
import type { Verdict } from "../store/store.js";
import type { RedisServer } from "./redis-server.js";
import { KeysApart, Unreachable } from "./redis-server.js";
import { numbersIn } from "./reply.js";
import { SCRIPT_OF_SEVERAL } from "./script-of-several.js";

/** One key's share in a call about several: what its space makes of it. */
export interface Share {
  readonly server: RedisServer;
  /** The key as Redis knows it. */
  readonly name: string;
  readonly mayRefuse: boolean;
  /** What the script is told of it, and how many numbers it replies. */
  readonly words: readonly string[];
  readonly amount: number;
  /** What Redis has refused already. */
  readonly denial: () => Verdict | undefined;
  /** Reads its numbers, from `start` on. */
  readonly verdict: (numbers: readonly number[], start: number, isRecorded: boolean) => Verdict;
  /** Who answers while Redis cannot. */
  readonly instead: (failure: StoreError) => Promise<Verdict>;
}

/** What each is told; undefined for one that was not asked, since another had refused already. */
type Answers = readonly (Verdict | undefined)[];

/**
 * Asks about several keys by one command, for all or nothing; undefined where one command cannot: then nothing has happened.
 *
 * @param shares - undefined for a key that is not in Redis.
 */
export async function askTogether(shares: readonly (Share | undefined)[]): Promise<Answers | undefined> {
  const known = shares.filter((share) => share !== undefined);
  const [first] = known;
  if (first === undefined || known.length < shares.length) return undefined;
  const { server } = first;
  const names = known.map(({ name }) => name) as [string, ...string[]];
  // One key twice is one log that two calls spend of: whether the second passes depends on the first.
  const isFit = new Set(names).size === names.length && known.every((share) => share.server.client === server.client);
  if (!isFit || !server.canRunOn(names)) return undefined;
  const denials = known.map((share) => (share.mayRefuse ? share.denial() : undefined));
  if (denials.some((denial) => denial !== undefined)) return denials;
  try {
    return answersFrom(await server.run(SCRIPT_OF_SEVERAL, names, known.flatMap(wordsOf)), known);
  } catch (failure) {
    if (failure instanceof KeysApart) return undefined;
    if (failure instanceof Unreachable) return answersInstead(known, failure);
    throw failure;
  }
}

function wordsOf({ mayRefuse, words }: Share): string[] {
  return [mayRefuse ? "1" : "0", String(words.length), ...words];
}

function answersFrom(reply: unknown, shares: readonly Share[]): Answers {
  const amount = shares.reduce((sum, share) => sum + share.amount, 1);
  const numbers = numbersIn(reply, amount);
  const isRecorded = numbers[0] === 1;
  let start = 1;
  return shares.map((share) => {
    const verdict = share.verdict(numbers, start, isRecorded);
    start += share.amount;
    return verdict;
  });
}

/** Without Redis there is no one command: those that stand in are asked in order, and what they spent is taken back. */
async function answersInstead(shares: readonly Share[], failure: StoreError): Promise<Answers> {
  const answers: Verdict[] = [];
  const takeBack = (): Promise<unknown> => Promise.all(answers.map(async ({ receipt }) => receipt?.refund()));
  for (const share of shares) {
    try {
      answers.push(await share.instead(failure));
    } catch (error) {
      await takeBack();
      throw error;
    }
    if (share.mayRefuse && (answers.at(-1)?.retryAfterMs ?? 0) > 0) {
      await takeBack();
      break;
    }
  }
  return shares.map((_, at) => answers[at]);
}
