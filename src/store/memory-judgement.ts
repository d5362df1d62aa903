import { expected } from "../core/expected.js";
import { judge } from "../core/sliding-window.js";
import type { TimestampLog } from "../core/timestamp-log.js";
import { EMPTY_LOG } from "../core/timestamp-log.js";
import { MemorySpace, type MemoryStoreParts } from "./memory-space.js";
import type { Ask, Judgement, Verdict } from "./store.js";

/** Judges asks of several spaces of one memory store, and finds room for all their new keys together. */
export function judgeTogether({ time, hand, exclusively }: MemoryStoreParts, asks: readonly Ask[]): Judgement {
  return exclusively(() => {
    const spared = new Set<TimestampLog>();
    const parts = asks.map(({ space, key, limits, cost }) => {
      if (!(space instanceof MemorySpace)) throw new TypeError(expected("space", "a space of a MemoryStore", space));
      const log = space.look(key, limits);
      if (log !== undefined) spared.add(log);
      const isNewcomer = log === undefined && judge(EMPTY_LOG, limits, cost, time.now) === 0;
      return { space, key, limits, cost, log, isNewcomer };
    });
    const newcomers = parts.filter(({ isNewcomer }) => isNewcomer);
    const room = hand.findRoom(newcomers.length, time.now, spared);
    const homeless = newcomers.slice(room.places);
    if (homeless.length > 0) hand.moveOn(room);

    const judged = parts.map((part) => {
      const { space, key, limits, cost, log = EMPTY_LOG } = part;
      const verdict = space.verdict(log, limits, cost, homeless.includes(part) ? room.wait : 0);
      const isPassing = verdict.retryAfterMs === 0;
      return { verdict, spend: () => (isPassing ? space.spend(key, limits, cost) : verdict) };
    });
    return {
      verdicts: judged.map(({ verdict }) => verdict),
      spend: () => {
        exclusively(() => {
          hand.takeRoom(room);
        });
        const spent: Verdict[] = [];
        try {
          for (const { spend } of judged) spent.push(exclusively(spend));
        } catch (error) {
          for (const { receipt } of spent) void receipt?.refund();
          throw error;
        }
        return spent;
      },
    };
  });
}
