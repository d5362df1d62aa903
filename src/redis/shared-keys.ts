import { warn } from "../core/warn.js";

/** By client: which periods the keys with a prefix are asked with. */
const opened = new WeakMap<object, Map<string, string>>();

/**
 * Warns of two limiters of one process that share their keys and can hardly mean it: their periods differ. It is no error,
 * because two releases may share keys, and a limiter may be made anew.
 */
export function noteKeys(client: object, prefix: string, periodsMs: readonly number[]): void {
  const prefixes = opened.get(client) ?? new Map<string, string>();
  opened.set(client, prefixes);
  const periods = periodsMs.join();
  const before = prefixes.get(prefix);
  prefixes.set(prefix, periods);
  if (before === undefined || before === periods) return;
  const message = `Two limiters of one Redis client share the keys ${prefix}*, and count together; give each a \`name\``;
  warn(message, `periods of ${before} ms and of ${periods} ms`);
}

/** Forgets the keys with a prefix, whose limiter is closed. */
export function forgetKeys(client: object, prefix: string): void {
  opened.get(client)?.delete(prefix);
}
