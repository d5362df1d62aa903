/**
 * The truth, by brute force: a plain array of what was admitted, filtered anew for every question. It shares no code with
 * `src`, knows no ring, no clock and no epoch, and is told the store time by whoever asks.
 */
export interface OracleLimit {
  readonly name?: string | undefined;
  readonly maxCalls: number;
  readonly periodMs: number;
}

export interface OracleAnswer {
  readonly allowed: boolean;
  readonly reason: string;
  readonly refusedBy: "limit" | null;
  readonly limit: OracleLimit;
  readonly remaining: number;
  readonly retryAfterMs: number;
  readonly resetAfterMs: number;
  readonly layers: readonly (OracleLimit & {
    readonly used: number;
    readonly remaining: number;
    readonly retryAfterMs: number;
    readonly moreAfterMs: number;
    readonly resetAfterMs: number;
  })[];
}

/** One admitted call; a refund or reset takes it out of the array, and it is never put back. */
export interface Admission {
  readonly key: string;
  readonly stamp: number;
  readonly cost: number;
}

export class Oracle {
  admissions: Admission[] = [];

  check(key: string, limits: readonly OracleLimit[], cost: number, now: number, stamp: number = now): OracleAnswer {
    const before = this.answer(key, limits, cost, now);
    if (!before.allowed) return before;
    this.admissions.push({ key, stamp, cost });
    const after = this.answer(key, limits, 0, now);
    return { ...after, allowed: true, reason: "Allowed", refusedBy: null, retryAfterMs: 0 };
  }

  /** What the latest admission spent is taken back, if it is live in the longest of the periods. */
  refund(admission: Admission, periodsMs: readonly number[], now: number): boolean {
    if (!this.admissions.includes(admission)) return false;
    if (admission.stamp <= now - Math.max(...periodsMs)) return false;
    this.admissions = this.admissions.filter((other) => other !== admission);
    return true;
  }

  reset(key?: string): void {
    this.admissions = key === undefined ? [] : this.admissions.filter((admission) => admission.key !== key);
  }

  live(key: string, periodMs: number, now: number): number {
    return this.#liveIn(key, periodMs, now).reduce((sum, { cost }) => sum + cost, 0);
  }

  answer(key: string, limits: readonly OracleLimit[], cost: number, now: number): OracleAnswer {
    const layers = limits.map(({ name, maxCalls, periodMs }) => ({
      name,
      maxCalls,
      periodMs,
      used: this.live(key, periodMs, now),
      remaining: Math.max(0, maxCalls - this.live(key, periodMs, now)),
      retryAfterMs: this.#firstPass(key, { maxCalls, periodMs }, cost, now) - now,
      moreAfterMs: this.#firstMore(key, { maxCalls, periodMs }, now) - now,
      resetAfterMs: Math.max(0, ...this.#liveIn(key, periodMs, now).map(({ stamp }) => stamp + periodMs - now)),
    }));
    const retryAfterMs = Math.max(...layers.map((layer) => layer.retryAfterMs));
    const allowed = retryAfterMs === 0;
    const remaining = Math.min(...layers.map((layer) => layer.remaining));
    const binds = layers.findIndex((layer) =>
      allowed ? layer.remaining === remaining : layer.retryAfterMs === retryAfterMs,
    );
    const limit = limits[binds]!;
    const refusal = limit.name === undefined ? "Rate limit exceeded" : `${limit.name} rate limit exceeded`;
    return {
      allowed,
      reason: allowed ? "Allowed" : refusal,
      refusedBy: allowed ? null : "limit",
      limit,
      remaining,
      retryAfterMs,
      resetAfterMs: Math.max(...layers.map((layer) => layer.resetAfterMs)),
      layers,
    };
  }

  /** The first instant at which the layer lets the call pass: now, or when some live call has expired. */
  #firstPass(key: string, { maxCalls, periodMs }: OracleLimit, cost: number, now: number): number {
    const live = this.#liveIn(key, periodMs, now);
    const instants = [now, ...live.map(({ stamp }) => stamp + periodMs)].sort((a, b) => a - b);
    return instants.find((at) => this.live(key, periodMs, at) + cost <= maxCalls) ?? Infinity;
  }

  /** The first instant at which a live call has expired and more may be spent than now. */
  #firstMore(key: string, { maxCalls, periodMs }: OracleLimit, now: number): number {
    const left = (at: number): number => Math.max(0, maxCalls - this.live(key, periodMs, at));
    const instants = this.#liveIn(key, periodMs, now).map(({ stamp }) => stamp + periodMs);
    return instants.sort((a, b) => a - b).find((at) => left(at) > left(now)) ?? Infinity;
  }

  #liveIn(key: string, periodMs: number, now: number): Admission[] {
    return this.admissions.filter((admission) => admission.key === key && admission.stamp > now - periodMs);
  }
}
