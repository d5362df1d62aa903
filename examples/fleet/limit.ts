/** What a user may do, at all instances together. */
export const LIMIT = { maxCalls: 20, period: "2s" } as const;

/** The same in milliseconds, for who checks it. */
export const PERIOD_MS = 2000;

export const INSTANCES = 4;
