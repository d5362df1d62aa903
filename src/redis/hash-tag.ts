import { argumentError } from "../core/validate.js";

/**
 * Puts a tag before a key, by which a Redis Cluster chooses where it is kept: keys with one tag are kept together, so that
 * `allOf` asks about all of them by one command.
 *
 * The tag is a part of the key: the same key under another tag is another key, with a log of its own. So let the tag follow
 * from what the keys have in common, a tenant say, and not from the call.
 *
 * @param tag - any string. A few characters are spelled differently, so that no two pairs make the same key.
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
  // A tag ends at the first `}`, and an empty one is none.
  const spelled = tag.replace(/[%}]/g, (character) => (character === "%" ? "%25" : "%7D"));
  return `{${spelled === "" ? "%" : spelled}}${key}`;
}

/** What decides on the slot of a key: what is between its first `{` and the next `}`, if anything is, else all of it. */
export function hashedPart(key: string): string {
  return /^[^{]*\{([^}]+)\}/.exec(key)?.[1] ?? key;
}
