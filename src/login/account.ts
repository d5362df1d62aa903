import { base64Url, sha256 } from "./web-crypto.js";

/**
 * The default `foldAccount`: without spaces around it, in the Unicode form NFKC and in lower case, so that spellings that most
 * applications look up as one account share its limits.
 *
 * @example
 * foldAccount(" Ada＠Example.org "); // "ada@example.org"
 */
export function foldAccount(account: string): string {
  return account.trim().normalize("NFKC").toLowerCase();
}

/**
 * The key of a folded account: its SHA-256, in 43 characters.
 *
 * A client chooses the account, and must not choose how much memory its key takes. And a store is not to hold a list of addresses
 * of e-mail. No secret is part of the hash: a new secret would forget every lock.
 */
export async function accountKey(folded: string): Promise<string> {
  return base64Url(await sha256(folded));
}
