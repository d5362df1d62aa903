/** What Node, browsers and edge workers have in common, and ES2022 does not name. */
declare const crypto: { readonly subtle: { digest(algorithm: "SHA-256", data: Uint8Array): Promise<ArrayBuffer> } };

/** Longer than any address, id or e-mail address, and short enough to be kept a million times. */
const LONGEST_KEY = 256;

/**
 * The key itself, or, for one of more than 256 characters, its SHA-256: whoever may choose a key does not choose how much of
 * our memory it takes.
 */
export function digested(key: string): string | Promise<string> {
  return key.length <= LONGEST_KEY ? key : digestOf(key);
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
  return `sha256:${Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}
