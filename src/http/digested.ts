/** What Node, browsers and edge workers have in common, and ES2022 does not name. */
declare const crypto: { readonly subtle: { digest(algorithm: "SHA-256", data: Uint8Array): Promise<ArrayBuffer> } };

/** Longer than any address, id or e-mail address, and short enough to be kept a million times. */
const LONGEST_KEY = 256;
const PREFIX = "sha256:";

/**
 * The key itself, or its SHA-256 when it is longer than 256 characters: a client that chooses the key does not choose how
 * much memory it takes.
 *
 * A key that begins like a digest is digested as well. So every result that begins like one is the digest of its key, and
 * two different keys never share a bucket.
 */
export function digested(key: string): string | Promise<string> {
  return key.length <= LONGEST_KEY && !key.startsWith(PREFIX) ? key : digestOf(key);
}

async function digestOf(key: string): Promise<string> {
  // Code units, and not UTF-8: there, all lone surrogates are one, and two keys would be.
  const units = new Uint8Array(2 * key.length);
  for (let at = 0; at < key.length; at += 1) {
    const unit = key.charCodeAt(at);
    units[2 * at] = unit >> 8;
    units[2 * at + 1] = unit & 255;
  }
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", units));
  return `${PREFIX}${Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}
