import { argumentError } from "../core/validate.js";

/**
 * Prefixes a key with a hash tag, which determines its slot in a Redis Cluster: keys with the same tag are on one server, so that
 * `allOf` checks all of them by one command.
 *
 * The tag is a part of the key: the same key under another tag is another key, with its own log. Derive the tag from
 * what the keys have in common, for example a tenant, and not from the call.
 *
 * @param tag - any string. A few characters are escaped, so that no two pairs make the same key.
 * @throws TypeError when either is not a string.
 * @see {@link https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/#hash-tags | Redis Cluster: hash tags}
 *
 * @example
 * const both = allOf({ tenant: tenantLimiter, user: userLimiter });
 * await both.check({ tenant: hashTagged(tenant, ""), user: hashTagged(tenant, user) });
 */
export function hashTagged(tag: string, key: string): string {
  if (typeof tag !== "string") throw new TypeError(argumentError("tag", "a string", tag));
  if (typeof key !== "string") throw new TypeError(argumentError("key", "a string", key));
  // A tag ends at the first `}`, and an empty tag has no effect.
  const escaped = tag.replace(/[%}]/g, (character) => (character === "%" ? "%25" : "%7D"));
  return `{${escaped === "" ? "%" : escaped}}${key}`;
}

/** The part of a key that determines its slot: the text between its first `{` and the next `}`, or the whole key if there is none. */
export function hashedPart(key: string): string {
  return /^[^{]*\{([^}]+)\}/.exec(key)?.[1] ?? key;
}
