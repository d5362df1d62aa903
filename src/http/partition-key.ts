import { utf8 } from "../core/bytes.js";

/** A global of Node, Bun, Deno, browsers and edge workers that the ES2022 types omit. */
declare const btoa: (binary: string) => string;

/** The fractions of the square roots of the first 8 primes. */
const INITIAL: readonly number[] = [
  0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
];

/** The fractions of the cube roots of the first 64 primes. */
const ROUNDS: Uint32Array = Uint32Array.from([
  0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98,
  0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786,
  0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8,
  0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13,
  0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819,
  0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a,
  0x5b9cca4f, 0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7,
  0xc67178f2,
]);

/**
 * Returns the partition key of a limiter's key for the parameter `pk`: the first 12 hexadecimal digits of the SHA-256 of the key in
 * UTF-8, in Base64, as express-rate-limit sends it. A header must not contain the key itself, such as an address or an e-mail.
 *
 * The digest is computed here, because Web Crypto needs a promise and several times as long for a short key, and workers have no
 * `node:crypto`.
 *
 * @param key - of at most 256 characters, because the middleware hashes longer ones.
 */
export function partitionKeyOf(key: string): string {
  const hash = sha256(utf8(key));
  return btoa(`${hex(at(hash, 0))}${hex(at(hash, 1))}`.slice(0, 12));
}

function hex(word: number): string {
  return word.toString(16).padStart(8, "0");
}

/** The words of the SHA-256 of a message. @see FIPS 180-4, section 6.2.2, for the names of the variables */
function sha256(message: Uint8Array): Uint32Array {
  const hash = Uint32Array.from(INITIAL);
  const blocks = padded(message);
  const w = new Int32Array(64);
  for (let start = 0; start < blocks.byteLength; start += 64) {
    for (let t = 0; t < 64; t += 1) {
      w[t] =
        t < 16
          ? blocks.getInt32(start + 4 * t)
          : at(w, t - 16) + sigma(at(w, t - 15), 7, 18, 3) + at(w, t - 7) + sigma(at(w, t - 2), 17, 19, 10);
    }
    let [a, b, c, d, e, f, g, h] = Int32Array.from(hash) as unknown as Eight;
    for (let t = 0; t < 64; t += 1) {
      const t1 = h + (rotr(e, 6) ^ rotr(e, 11) ^ rotr(e, 25)) + ((e & f) ^ (~e & g)) + at(ROUNDS, t) + at(w, t);
      const t2 = (rotr(a, 2) ^ rotr(a, 13) ^ rotr(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));
      h = g;
      g = f;
      f = e;
      e = (d + t1) | 0;
      d = c;
      c = b;
      b = a;
      a = (t1 + t2) | 0;
    }
    for (const [index, word] of [a, b, c, d, e, f, g, h].entries()) hash[index] = at(hash, index) + word;
  }
  return hash;
}

type Eight = [number, number, number, number, number, number, number, number];

/** The message with a bit of 1, bits of 0 and its length in bits, which fill blocks of 64 bytes. */
function padded(message: Uint8Array): DataView {
  const bytes = new Uint8Array(64 * Math.ceil((message.length + 9) / 64));
  bytes.set(message);
  bytes[message.length] = 0x80;
  const view = new DataView(bytes.buffer);
  view.setUint32(bytes.length - 4, 8 * message.length);
  return view;
}

function sigma(x: number, first: number, second: number, shift: number): number {
  return rotr(x, first) ^ rotr(x, second) ^ (x >>> shift);
}

function rotr(x: number, bits: number): number {
  return (x >>> bits) | (x << (32 - bits));
}

/** The element at an index that the array has. */
function at(words: Int32Array | Uint32Array, index: number): number {
  return words[index] as number;
}
