import { expected } from "../core/expected.js";
import type { IpAddress } from "./ip-address.js";
import { masked, parseIpAddress, unwrapped } from "./ip-address.js";

/** A range of addresses: those that share the first `bits` bits. */
export interface Network {
  readonly address: IpAddress;
  readonly bits: number;
}

/**
 * Reads a range in CIDR notation (`10.0.0.0/8`, `2001:db8::/32`), or a single address.
 *
 * @throws TypeError when it is not a string, RangeError when it is no range.
 */
export function parseNetwork(name: string, value: unknown): Network {
  const rule = "an IP address or a range of them, like `10.0.0.0/8`";
  if (typeof value !== "string") throw new TypeError(expected(name, rule, value));
  const [, text = "", length] = /^([^/]*)(?:\/(\d{1,3}))?$/.exec(value) ?? [];
  const written = parseIpAddress(text);
  if (written === undefined) throw new RangeError(expected(name, rule, value));
  const writtenBits = length === undefined ? 8 * written.length : Number(length);
  if (writtenBits > 8 * written.length) throw new RangeError(expected(name, rule, value));
  // Addresses are unwrapped before they are looked up, so a mapped range is the range that it maps.
  const isWrapped = writtenBits >= 96 && unwrapped(written).length < written.length;
  const address = isWrapped ? unwrapped(written) : written;
  const bits = isWrapped ? writtenBits - 96 : writtenBits;
  return { address: masked(address, bits), bits };
}

/** Whether a range holds an unwrapped address. */
export function contains({ address, bits }: Network, candidate: IpAddress): boolean {
  return candidate.length === address.length && masked(candidate, bits).every((byte, at) => byte === address[at]);
}
