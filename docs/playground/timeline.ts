import type { Limit, Result, Window } from "./simulation.js";

/** The tallest stack of calls, in pixels. */
const MAX_STACK_PX = 72;
const MIN_PITCH_PX = 2;
const MAX_PITCH_PX = 10;

/** How times and counts become pixels: the same for all algorithms, so that their pictures can be compared. */
export interface Scale {
  readonly fromMs: number;
  readonly toMs: number;
  readonly width: number;
  /** All calls of one slot are stacked. A whole number of slots, or of their inverse, fits a period. */
  readonly slotMs: number;
  readonly cellWidth: number;
  readonly cellHeight: number;
  /** The heights of the tallest stacks. */
  readonly admittedPx: number;
  readonly refusedPx: number;
}

const last = (times: readonly number[]): number => times.at(-1) ?? 0;

/** Counts the calls of each slot. */
function stacks(timesMs: readonly number[], slotMs: number): Map<number, number> {
  const counts = new Map<number, number>();
  for (const ms of timesMs) {
    const slot = Math.floor(ms / slotMs);
    counts.set(slot, (counts.get(slot) ?? 0) + 1);
  }
  return counts;
}

const tallest = (lists: readonly (readonly number[])[], slotMs: number): number =>
  Math.max(0, ...lists.flatMap((times) => [...stacks(times, slotMs).values()]));

/** Chooses the largest cells with which every stack fits, and flattens the smallest ones if none do. */
export function scaleFor(
  results: readonly Result[],
  arrivalsMs: readonly number[],
  limit: Limit,
  width: number,
): Scale {
  const first = arrivalsMs[0] ?? 0;
  const span = last(arrivalsMs) - first;
  const shownMs = Math.max(1.25 * limit.periodMs, 1.08 * span);
  const fromMs = first - (shownMs - span) / 2;
  const admitted = results.map(({ admittedMs }) => admittedMs);
  const refused = results.map(({ refusedMs }) => refusedMs);
  const periodPx = (limit.periodMs / shownMs) * width;

  const slots = pitches(periodPx).map((pitch) => {
    const slotMs = (pitch / periodPx) * limit.periodMs;
    const [up, down] = [tallest(admitted, slotMs), tallest(refused, slotMs)];
    return { pitch, slotMs, up, down, cellHeight: Math.min(pitch, MAX_STACK_PX / Math.max(up, down)) };
  });
  const slot = slots.find(({ pitch, cellHeight }) => cellHeight === pitch) ?? slots.at(-1);
  if (slot === undefined) throw new RangeError(`Expected a width of more than 0 pixels, got ${width}.`);
  const { pitch, slotMs, cellHeight, up, down } = slot;
  return {
    fromMs,
    toMs: fromMs + shownMs,
    width,
    slotMs,
    cellWidth: pitch,
    cellHeight,
    admittedPx: up * cellHeight,
    refusedPx: down * cellHeight,
  };
}

/** Sizes of cells that divide a period by 1, 2 or 5 times a power of ten, the largest first. */
function pitches(periodPx: number): number[] {
  const found: number[] = [];
  for (let power = -12; power <= 12; power += 1) {
    for (const digit of [1, 2, 5]) found.push(periodPx / (digit * 10 ** power));
  }
  return found.filter((pitch) => pitch >= MIN_PITCH_PX && pitch <= MAX_PITCH_PX);
}

export const toX = (scale: Scale, ms: number): number =>
  ((ms - scale.fromMs) / (scale.toMs - scale.fromMs)) * scale.width;

const px = (value: number): string => String(Math.round(value * 100) / 100);

/** A path with one cell for each call, stacked away from the line at y = 0: up with `direction` -1, down with 1. */
export function cells(timesMs: readonly number[], scale: Scale, direction: -1 | 1): string {
  const { slotMs, cellWidth, cellHeight } = scale;
  const gapX = Math.min(1, cellWidth / 4);
  const gapY = Math.min(gapX, cellHeight / 4);
  const box = `h${px(cellWidth - gapX)}v${px(cellHeight - gapY)}h${px(gapX - cellWidth)}z`;
  const path: string[] = [];
  for (const [slot, count] of stacks(timesMs, slotMs)) {
    const left = px(toX(scale, slot * slotMs) + gapX / 2);
    for (let level = 0; level < count; level += 1) {
      const top = direction === 1 ? level * cellHeight : -(level + 1) * cellHeight;
      path.push(`M${left} ${px(top + gapY / 2)}${box}`);
    }
  }
  return path.join("");
}

/** Where the window with the most calls is drawn: around its calls, and inside the picture. */
export function windowSpan(worst: Window, limit: Limit, scale: Scale): { left: number; right: number } {
  const centred = (worst.firstMs + worst.lastMs - limit.periodMs) / 2;
  const startMs = Math.max(scale.fromMs, Math.min(centred, scale.toMs - limit.periodMs));
  return { left: toX(scale, startMs), right: toX(scale, startMs + limit.periodMs) };
}

/** The starts of fixed windows in the picture, at least 90 pixels apart: their labels must not meet. */
export function boundaries(limit: Limit, scale: Scale): number[] {
  const periodPx = (limit.periodMs / (scale.toMs - scale.fromMs)) * scale.width;
  const step = Math.ceil(90 / periodPx) * limit.periodMs;
  const first = Math.max(0, Math.ceil(scale.fromMs / step)) * step;
  const found: number[] = [];
  for (let ms = first; ms <= scale.toMs; ms += step) found.push(ms);
  return found;
}

/** Milliseconds as text: `1500` is `1.5 s`. */
export const seconds = (ms: number): string => `${Math.round(ms) / 1000} s`;
