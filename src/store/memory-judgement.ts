import { StoreError } from "../core/errors.js";
import { expected } from "../core/expected.js";
import { NOWHERE } from "../core/timestamp-logs.js";
import { MemorySpace, type MemoryStoreParts } from "./memory-space.js";
import type { Spared } from "./room.js";
import type { Ask, Judgement, Verdict } from "./store.js";

/** Judges asks of several spaces of one memory store, and finds room for all their new keys together. */
export function judgeTogether({ time, hand }: MemoryStoreParts, asks: readonly Ask[]): Judgement {
  const spared: Spared[] = [];
  const parts = asks.map(({ space, key, limits, cost }) => {
    if (!(space instanceof MemorySpace)) throw new TypeError(expected("space", "a space of a MemoryStore", space));
    const place = space.look(key, limits);
    if (place !== NOWHERE) spared.push(space.spared(place));
    const isNewcomer = place === NOWHERE && space.passes(key, limits, cost);
    return { space, key, limits, cost, place, isNewcomer };
  });
  const newcomers = parts.filter(({ isNewcomer }) => isNewcomer);
  const room = hand.findRoom(newcomers.length, time.now, spared);
  const homeless = newcomers.slice(room.places);
  if (homeless.length > 0) hand.moveOn(room);

  const verdicts = parts.map((part) => {
    const { space, limits, cost, place } = part;
    return space.verdict(place, limits, cost, homeless.includes(part) ? room.wait : 0);
  });
  const passing = parts.filter((_, at) => verdicts[at]?.retryAfterMs === 0);
  return {
    verdicts,
    spend: () => {
      // All are confirmed before the first is recorded: so all are, or none.
      if (!passing.every(({ space, key, limits, cost }) => space.passes(key, limits, cost))) {
        throw new StoreError("A clock called a limiter in the middle of a call about several keys");
      }
      hand.takeRoom(room);
      const spent = new Map<(typeof parts)[number], Verdict>();
      try {
        for (const part of passing) spent.set(part, part.space.spend(part.key, part.limits, part.cost));
      } catch (error) {
        // There is no memory for one of them.
        for (const { receipt } of spent.values()) void receipt?.refund();
        throw error;
      }
      return parts.map((part, at) => spent.get(part) ?? (verdicts[at] as Verdict));
    },
  };
}
