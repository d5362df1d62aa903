import { utf8 } from "../core/bytes.js";

/** A key of Web Crypto. Only its functions read it. */
interface CryptoKey {
  readonly type: string;
}

// Globals of Node, Bun, Deno and edge workers that the ES2022 library does not declare.
declare const crypto: {
  getRandomValues(bytes: Uint8Array): Uint8Array;
  readonly subtle: {
    importKey(
      format: "raw",
      key: Uint8Array,
      algorithm: { readonly name: "HMAC"; readonly hash: "SHA-256" },
      extractable: false,
      usages: readonly ["sign", "verify"],
    ): Promise<CryptoKey>;
    sign(algorithm: "HMAC", key: CryptoKey, data: Uint8Array): Promise<ArrayBuffer>;
    verify(algorithm: "HMAC", key: CryptoKey, signature: Uint8Array, data: Uint8Array): Promise<boolean>;
  };
};
declare function btoa(binary: string): string;
declare function atob(base64: string): string;

/** As many random bytes, of the secure generator of the platform. */
export function randomBytes(length: number): Uint8Array {
  return crypto.getRandomValues(new Uint8Array(length));
}

/** Signs texts by HMAC-SHA-256 with one secret. */
export class Signer {
  readonly #secret: string;
  #key: Promise<CryptoKey> | undefined;

  constructor(secret: string) {
    this.#secret = secret;
  }

  /** The signature of a text. */
  async sign(text: string): Promise<Uint8Array> {
    return new Uint8Array(await crypto.subtle.sign("HMAC", await this.#imported, utf8(text)));
  }

  /** Whether a signature is that of a text. Web Crypto compares them in constant time. */
  async verify(signature: Uint8Array, text: string): Promise<boolean> {
    return crypto.subtle.verify("HMAC", await this.#imported, signature, utf8(text));
  }

  /** Imported at the first use: Cloudflare Workers allow no cryptography while a module is loaded. */
  get #imported(): Promise<CryptoKey> {
    const algorithm = { name: "HMAC", hash: "SHA-256" } as const;
    return (this.#key ??= crypto.subtle.importKey("raw", utf8(this.#secret), algorithm, false, ["sign", "verify"]));
  }
}

/** Bytes in base64url without padding. @see RFC 4648, section 5 */
export function base64Url(bytes: Uint8Array): string {
  return btoa(String.fromCharCode(...bytes))
    .replaceAll("+", "-")
    .replaceAll("/", "_")
    .replaceAll("=", "");
}

/** The bytes of a text in base64url. Precondition: it is valid. */
export function fromBase64Url(text: string): Uint8Array {
  const binary = atob(text.replaceAll("-", "+").replaceAll("_", "/"));
  return Uint8Array.from(binary, (character) => character.charCodeAt(0));
}
