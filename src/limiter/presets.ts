/**
 * Limits that suit the usual endpoints, to spread into a limiter's options. Periods are in seconds.
 *
 * @example
 * const login = new AsyncRateLimiter(RATE_LIMITS.login);
 */
export const RATE_LIMITS = {
  /** 5 attempts per 5 minutes. */
  login: { maxCalls: 5, period: 300 },
  /** 3 per hour. */
  passwordReset: { maxCalls: 3, period: 3600 },
  /** 3 per hour. */
  register: { maxCalls: 3, period: 3600 },
  /** 1000 per hour. */
  apiGeneral: { maxCalls: 1000, period: 3600 },
  /** 100 per minute. */
  apiSearch: { maxCalls: 100, period: 60 },
  /** 10 per hour. */
  apiUpload: { maxCalls: 10, period: 3600 },
  /** 10 per hour. */
  emailSend: { maxCalls: 10, period: 3600 },
  /** 5 per hour. */
  emailVerify: { maxCalls: 5, period: 3600 },
  /** 100 per hour. */
  adminAction: { maxCalls: 100, period: 3600 },
} as const;

/**
 * Limits for tiers of users, for a `TieredRateLimiter`. Periods are in seconds.
 *
 * @example
 * const limiter = new TieredRateLimiter({ tiers: USER_TIERS });
 */
export const USER_TIERS = {
  /** 100 per hour. */
  free: { maxCalls: 100, period: 3600 },
  /** 1000 per hour. */
  premium: { maxCalls: 1000, period: 3600 },
  /** 10,000 per hour. */
  enterprise: { maxCalls: 10_000, period: 3600 },
} as const;
