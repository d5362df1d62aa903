import { typeError } from "../core/validate.js";
import { base64Url, fromBase64Url, randomBytes, Signer } from "./web-crypto.js";

/** The `Cookie` header of a request, as Node (a string) and the Fetch standard (or null) have it; an array has several headers. */
export type CookieHeader = string | readonly string[] | null | undefined;

/** How a {@link DeviceCookies} names its cookie, and how long browsers keep it. */
export interface DeviceCookieOptions {
  readonly name: string;
  readonly maxAgeMs: number;
  /** The secrets: the first signs, all verify. */
  readonly secrets: readonly string[];
  /** The time in milliseconds by which cookies expire, the same for all processes. */
  readonly now: () => number;
}

/** Longer than the headers that servers accept; what is behind it is not searched. */
const LONGEST_HEADER = 16_384;

/** The nonce (16 bytes), the second at which the cookie expires, and the signature (32 bytes). */
const VALUE = /^([\w-]{22})\.(\d{1,15})\.([\w-]{43})$/;

/**
 * The cookies of browsers in which someone has logged in to an account: a nonce and the end of its validity, signed together with
 * the account. Nothing is stored on the server.
 *
 * @see https://owasp.org/www-community/Slow_Down_Online_Guessing_Attacks_with_Device_Cookies
 */
export class DeviceCookies {
  readonly #options: DeviceCookieOptions;
  readonly #signers: readonly Signer[];

  constructor(options: DeviceCookieOptions) {
    this.#options = options;
    this.#signers = options.secrets.map((secret) => new Signer(secret));
  }

  /**
   * The nonce of the cookie for an account; undefined without a valid cookie. A cookie that is too long, malformed or expired is
   * refused before anything is computed, and any other costs one signature for each secret.
   *
   * @throws TypeError (as a rejection) if `header` is not a header.
   */
  async read(header: CookieHeader, account: string): Promise<string | undefined> {
    const parts = VALUE.exec(cookieValue(header, this.#options.name) ?? "");
    if (parts === null) return undefined;
    const [, nonce, expires, signature] = parts as unknown as [string, string, string, string];
    if (Number(expires) * 1000 <= this.#options.now()) return undefined;
    const bytes = fromBase64Url(signature);
    const text = signedText(nonce, expires, account);
    for (const signer of this.#signers) if (await signer.verify(bytes, text)) return nonce;
    return undefined;
  }

  /** The `Set-Cookie` header for an account. @param nonce - of the cookie that it renews; without it the browser gets a new one. */
  async issue(account: string, nonce: string = base64Url(randomBytes(16))): Promise<string> {
    const { name, maxAgeMs, now } = this.#options;
    const maxAge = Math.floor(maxAgeMs / 1000);
    const expires = String(Math.floor(now() / 1000) + maxAge);
    const signature = base64Url(await (this.#signers[0] as Signer).sign(signedText(nonce, expires, account)));
    return `${name}=${nonce}.${expires}.${signature}; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=${maxAge}`;
  }
}

/** The label keeps a signature from being valid elsewhere, should the application sign other texts with the same secret. */
function signedText(nonce: string, expires: string, account: string): string {
  return `sluicegate device cookie\n${nonce}\n${expires}\n${account}`;
}

/** The value of the first cookie of a name; undefined if there is none. @see RFC 6265, section 4.2.1 */
function cookieValue(header: CookieHeader, name: string): string | undefined {
  const text = headerText(header);
  if (text.length > LONGEST_HEADER) return undefined;
  for (const pair of text.split(";")) {
    const [key = "", value] = pair.split("=", 2);
    // `trim` would also remove a U+00A0, before which browsers let any subdomain set a name that starts with `__Host-`.
    if (key.replace(/^[ \t]+/, "") === name) return value?.trim();
  }
  return undefined;
}

function headerText(header: unknown): string {
  if (typeof header === "string") return header;
  if (Array.isArray(header)) return header.join(";");
  if (header === undefined || header === null) return "";
  throw typeError("cookie", "the text of a `Cookie` header, or an array of such texts", header);
}
