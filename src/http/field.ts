/** A header field of an answer. */
export type Field = readonly [name: string, value: string];

/**
 * The value that a field is to have, given the one that it has already: RateLimit and RateLimit-Policy are lists, to which
 * each limiter on the way of a request adds what it knows; every other field says what the last one says.
 *
 * @see RFC 9651, section 3.1
 */
export function joined([name, value]: Field, before: unknown): string {
  const isList = name === "RateLimit" || name === "RateLimit-Policy";
  const list = Array.isArray(before) ? before.join(", ") : before;
  return isList && typeof list === "string" && list !== "" ? `${list}, ${value}` : value;
}
