/** The parameters of the controller: how the factor follows the pressure, at each tick. */
export interface AimdController {
  /** The least factor, above 0 and up to 1: without any calls the monitor could not measure that the pressure is gone. */
  readonly floor: number;
  /** The time in which steady cuts halve the factor, in milliseconds. */
  readonly halvingMs: number;
  /** What is added without pressure. */
  readonly growth: number;
}

/** The times of the controller, in milliseconds. */
export interface ControlTimes {
  readonly intervalMs: number;
  readonly halvingMs: number;
  readonly recoveryMs: number;
}

/** The state of the controller between two ticks. */
export interface ControlState {
  /** The fraction of their base limits that limiters enforce. */
  readonly factor: number;
  /** The pressure, smoothed: below 0 the factor grows, above 1 it is cut, and between it holds. */
  readonly pressure: number;
}

/** The time constant of the smoothing: two full ticks of 25 ms are noise, six are not. */
const SMOOTHING_MS = 60;
/** The range of a reading, so that a stall of a minute, or an idle night, does not count for long. */
const LEAST_PRESSURE = -1;
const MOST_PRESSURE = 2;
/** The pressure after a cut: the next cut needs new readings. */
const AFTER_CUT = 0.5;

/** Makes a controller that has these times, whatever the interval. */
export function aimdController(floor: number, { intervalMs, halvingMs, recoveryMs }: ControlTimes): AimdController {
  return {
    floor,
    halvingMs,
    growth: intervalMs / recoveryMs,
  };
}

/**
 * The position of a reading in its band: below 0 under `low`, above 1 over `high`, between 0 and 1 inside.
 *
 * Clipped to the range from -1 to 2, so that all signals have the same weight, however far outside of the band they are.
 */
export function pressureOf(value: number, low: number, high: number): number {
  return Math.max(LEAST_PRESSURE, Math.min(MOST_PRESSURE, (value - low) / (high - low)));
}

/**
 * One tick of the controller: additive increase, multiplicative decrease, and a dead band between them in which the factor does
 * not change, so that it does not oscillate.
 *
 * A cut starts from `used` if that is less than the factor: if the limit is ten times the traffic, many cuts would be needed
 * before the first call is refused.
 *
 * @param reading - the pressure of the worst signal at this tick.
 * @param used - the highest fraction of its base limit that any key had used since the last tick; undefined without calls.
 * @param elapsedMs - the time since the last tick. A loop that serves a thousand sockets ticks once in a second, and cuts must
 *   make up for that, or the queue would never shrink. Growth need not.
 */
export function step(
  { factor, pressure: before }: ControlState,
  reading: number,
  used: number | undefined,
  elapsedMs: number,
  controller: AimdController,
): ControlState {
  // At most 63% of the way: a single long turn of an idle loop is not pressure yet, a second one is.
  const weight = 1 - Math.exp(-Math.min(elapsedMs, SMOOTHING_MS) / SMOOTHING_MS);
  const pressure = before + weight * (reading - before);
  if (pressure > 1) {
    // At most by half: a machine that slept for an hour was not under pressure for an hour.
    const backoff = 0.5 ** Math.min(1, elapsedMs / controller.halvingMs);
    return { factor: Math.max(controller.floor, backoff * Math.min(factor, used ?? factor)), pressure: AFTER_CUT };
  }
  return { factor: pressure < 0 ? Math.min(1, factor + controller.growth) : factor, pressure };
}
