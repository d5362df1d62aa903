/** Present in all runtimes, but not declared by ES2022. */
declare class TextEncoder {
  encode(text: string): Uint8Array;
}
declare const crypto: { readonly subtle: { digest(algorithm: "SHA-256", data: Uint8Array): Promise<ArrayBuffer> } };

/** The most bytes of a key that are encoded in full: file systems allow 255 characters for a name, memcached 250 for a key. */
const LONGEST = 96;

/**
 * How many bytes of a longer key are encoded, before its hash. All keys of a namespace begin with the same bytes, so that they can
 * be listed.
 */
export const LONGEST_PREFIX = 64;

/** Not a hexadecimal digit, so that no key is encoded as another one with its hash. */
const HASHED = "h";

const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text);

/** How many bytes a string has in UTF-8. */
export function byteLength(text: string): number {
  return bytesOf(text).length;
}

/** Encodes the beginning of keys. Precondition: at most {@link LONGEST_PREFIX} bytes. */
export function encodedPrefix(prefix: string): string {
  return hex(bytesOf(prefix));
}

/**
 * Encodes a key as at most 193 lower-case hexadecimal digits and an `h`: no store folds their case, splits or trims them, or takes
 * them for a pattern. A long key is replaced by its first bytes and its SHA-256.
 *
 * Precondition: no lone surrogates, which UTF-8 does not have.
 */
export function encodedKey(key: string): string | Promise<string> {
  const bytes = bytesOf(key);
  if (bytes.length <= LONGEST) return hex(bytes);
  return crypto.subtle
    .digest("SHA-256", bytes)
    .then((digest) => hex(bytes.subarray(0, LONGEST_PREFIX)) + HASHED + hex(new Uint8Array(digest)));
}

function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
