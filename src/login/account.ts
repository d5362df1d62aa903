import { sha256, utf8 } from "../core/bytes.js";
import { base64Url } from "./web-crypto.js";

/** Longer than any address of e-mail. 50,000 combining marks take a second to normalize, and 10,000 of them 70 ms. */
const LONGEST = 1000;

/**
 * The default `foldAccount`: without spaces around it, in the Unicode form NFKC and in lower case, so that spellings that most
 * applications look up as one account share its limits. Only the first 1,000 characters count.
 *
 * @example
 * foldAccount(" Ada＠Example.org "); // "ada@example.org"
 */
export function foldAccount(account: string): string {
  return account.trim().slice(0, LONGEST).normalize("NFKC").toLowerCase();
}

/**
 * The key of a folded account: its SHA-256, in 43 characters.
 *
 * A client chooses the account, and must not choose how much memory its key takes. And a store is not to hold a list of addresses
 * of e-mail. No secret is part of the hash: a new secret would forget every lock.
 */
export async function accountKey(folded: string): Promise<string> {
  return base64Url(await sha256(utf8(folded)));
}
