import { hex, sha256, utf8 } from "../core/bytes.js";

/** The most bytes of a key that are encoded in full: file systems allow 255 characters for a name, memcached 250 for a key. */
const LONGEST = 96;

/**
 * How many bytes of a longer key are encoded, before its hash. All keys of a namespace begin with the same bytes, so that they can
 * be listed.
 */
export const LONGEST_PREFIX = 64;

/** Not a hexadecimal digit, so that no key is encoded as another one with its hash. */
const HASHED = "h";

/** How many bytes a string has in UTF-8. */
export function byteLength(text: string): number {
  return utf8(text).length;
}

/** Encodes the beginning of keys. Precondition: at most {@link LONGEST_PREFIX} bytes. */
export function encodedPrefix(prefix: string): string {
  return hex(utf8(prefix));
}

/**
 * Encodes a key as at most 193 lower-case hexadecimal digits and an `h`: no store folds their case, splits or trims them, or takes
 * them for a pattern. A long key is replaced by its first bytes and its SHA-256.
 *
 * Precondition: no lone surrogates, which UTF-8 does not have.
 */
export function encodedKey(key: string): string | Promise<string> {
  const bytes = utf8(key);
  if (bytes.length <= LONGEST) return hex(bytes);
  return sha256(bytes).then((digest) => hex(bytes.subarray(0, LONGEST_PREFIX)) + HASHED + hex(digest));
}
