/** The limit of a user over all instances together. */
export const LIMIT = { maxCalls: 20, period: "2s" } as const;

/** The period in milliseconds. */
export const PERIOD_MS = 2000;

export const INSTANCES = 4;
