// Globals of Node, Bun, Deno, browsers and edge workers that the ES2022 library does not declare.
declare const TextEncoder: new () => { encode(text: string): Uint8Array };
declare const crypto: { readonly subtle: { digest(algorithm: "SHA-256", data: Uint8Array): Promise<ArrayBuffer> } };

const encoder = new TextEncoder();

/** The bytes of a text in UTF-8, in which all lone surrogates are the same. */
export function utf8(text: string): Uint8Array {
  return encoder.encode(text);
}

/** Bytes as lower-case hexadecimal digits. */
export function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** The SHA-256 of bytes. */
export async function sha256(bytes: Uint8Array): Promise<Uint8Array> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
}
