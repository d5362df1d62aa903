/** How a factor answers to pressure, at each tick. */
export interface AimdController {
  /** The least factor, above 0 and up to 1: some calls must pass, or nobody would see that the pressure is gone. */
  readonly floor: number;
  /** The time in which steady cuts halve the factor, in milliseconds. */
  readonly halvingMs: number;
  /** What is added without pressure. */
  readonly growth: number;
}

/** What the law is given in terms of time, all in milliseconds. */
export interface ControlTimes {
  readonly intervalMs: number;
  readonly halvingMs: number;
  readonly recoveryMs: number;
}

/** Where a law stands between two ticks. */
export interface ControlState {
  /** The share of their base limits that limiters enforce. */
  readonly factor: number;
  /** The pressure, smoothed: below 0 the factor grows, above 1 it is cut, and between it holds. */
  readonly pressure: number;
}

/** The time in which a new reading is believed by two thirds. Two full ticks of 25 ms are noise, half a dozen are not. */
const BELIEF_MS = 60;
/** As far out as a reading counts: it must not take long to forget a stall of a minute, or an idle night. */
const LEAST_PRESSURE = -1;
const MOST_PRESSURE = 2;
/** Where a cut leaves the pressure: the next one wants evidence from after it. */
const AFTER_CUT = 0.5;

/** The law whose ticks come to these times, whatever the interval. */
export function aimdController(floor: number, { intervalMs, halvingMs, recoveryMs }: ControlTimes): AimdController {
  return {
    floor,
    halvingMs,
    growth: intervalMs / recoveryMs,
  };
}

/**
 * Where a reading stands in its band, as a pressure: below 0 under `low`, above 1 over `high`, and between them inside.
 *
 * Clipped to -1 and 2, so that every signal pulls alike however far out it is.
 */
export function pressureOf(value: number, low: number, high: number): number {
  return Math.max(LEAST_PRESSURE, Math.min(MOST_PRESSURE, (value - low) / (high - low)));
}

/**
 * One tick of the law: additive increase, multiplicative decrease, and a dead band between them in which the factor holds,
 * so that it does not swing between two limits.
 *
 * A cut is taken from what is used, where that is less: from a limit that floats at ten times the traffic many cuts would
 * be needed before the first call is refused.
 *
 * @param reading - the pressure of the worst signal at this tick.
 * @param used - the highest share of its base limit that any key had live since the last tick; undefined if no call came.
 * @param elapsedMs - the time since the last tick. A loop with a thousand sockets to serve ticks once in a second, and a cut
 *   that did not make up for it would never catch up with the line. Growth does not: late is no reason to hurry.
 */
export function step(
  { factor, pressure: before }: ControlState,
  reading: number,
  used: number | undefined,
  elapsedMs: number,
  law: AimdController,
): ControlState {
  // Two thirds of the way at most: a single long turn of a quiet loop is no pressure yet, a second one is.
  const agility = 1 - Math.exp(-Math.min(elapsedMs, BELIEF_MS) / BELIEF_MS);
  const pressure = before + agility * (reading - before);
  if (pressure > 1) {
    // Half at most, at one time: a machine that slept for an hour was not under pressure for an hour.
    const backoff = 0.5 ** Math.min(1, elapsedMs / law.halvingMs);
    return { factor: Math.max(law.floor, backoff * Math.min(factor, used ?? factor)), pressure: AFTER_CUT };
  }
  return { factor: pressure < 0 ? Math.min(1, factor + law.growth) : factor, pressure };
}
