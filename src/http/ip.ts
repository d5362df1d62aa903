import { argumentError } from "../core/validate.js";

/** An IP address as its bytes: 4 of them for IPv4, 16 for IPv6. */
export type IpAddress = readonly number[];

/** The longest text that can be an address: `ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255`. */
const LONGEST = 45;

/**
 * Reads an IPv4 or IPv6 address in any of its spellings, without port or zone; undefined for everything else.
 *
 * Written out, because edge workers have no `node:net`, against which it is tested. An octet with a leading zero is none:
 * some readers take it for octal, and two readers of one address are two buckets.
 *
 * @see RFC 4291, section 2.2
 */
export function parseIpAddress(text: string): IpAddress | undefined {
  if (text.length > LONGEST) return undefined;
  return text.includes(":") ? parseIPv6(text) : parseIPv4(text);
}

const OCTET = "(?:25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)";
const IPV4 = new RegExp(`^${OCTET}(?:\\.${OCTET}){3}$`);

/** Whether a text is an IPv4 address, of which there is one spelling only. */
export function isIPv4(text: string): boolean {
  return text.length <= 15 && IPV4.test(text);
}

function parseIPv4(text: string): IpAddress | undefined {
  return isIPv4(text) ? text.split(".").map(Number) : undefined;
}

function parseIPv6(text: string): IpAddress | undefined {
  const halves = text.split("::");
  if (halves.length > 2) return undefined;
  const [head, tail] = halves.map((half, at) => bytesOf(half, at === halves.length - 1));
  if (head === undefined) return undefined;
  if (halves.length === 1) return head.length === 16 ? head : undefined;
  // `::` stands for one group of zeros at least.
  if (tail === undefined || head.length + tail.length > 14) return undefined;
  return [...head, ...new Array<number>(16 - head.length - tail.length).fill(0), ...tail];
}

/** The bytes of one side of `::`; the last group of the right one may be an IPv4 address. */
function bytesOf(side: string, isLast: boolean): number[] | undefined {
  if (side === "") return [];
  const groups = side.split(":");
  const bytes: number[] = [];
  for (const [at, group] of groups.entries()) {
    if (/^[\da-f]{1,4}$/i.test(group)) {
      const value = Number.parseInt(group, 16);
      bytes.push(value >> 8, value & 255);
      continue;
    }
    const embedded = isLast && at === groups.length - 1 ? parseIPv4(group) : undefined;
    if (embedded === undefined) return undefined;
    bytes.push(...embedded);
  }
  return bytes;
}

/** The first 12 bytes of an address from its first six groups. */
const prefixOf = (...groups: readonly number[]): readonly number[] =>
  groups.flatMap((group) => [group >> 8, group & 255]);

/** The networks of 96 bits whose last 32 are an IPv4 address. */
const EMBEDDING = [
  // IPv4-mapped: RFC 4291, section 2.5.5.2.
  prefixOf(0, 0, 0, 0, 0, 0xffff),
  // IPv4-translated, by SIIT: RFC 2765, section 2.1.
  prefixOf(0, 0, 0, 0, 0xffff, 0),
  // IPv4-compatible, deprecated: RFC 4291, section 2.5.5.1.
  prefixOf(0, 0, 0, 0, 0, 0),
  // The well-known prefix of NAT64: RFC 6052, section 2.1.
  prefixOf(0x64, 0xff9b, 0, 0, 0, 0),
];

/** `64:ff9b:1::/48`, the prefix of NAT64 for use within a network: RFC 8215. */
const LOCAL_NAT64 = prefixOf(0x64, 0xff9b, 1);

/**
 * The IPv4 address that an IPv6 address of these kinds stands for: mapped, translated (SIIT, NAT64) or compatible; else the
 * address itself. Without it, all IPv4 clients of a dual-stack socket would share one /64.
 *
 * `::` and `::1` are IPv6 addresses of their own. 6to4 and Teredo addresses stay as they are, because a network stands
 * behind the IPv4 address in them.
 */
export function unwrapIPv4(address: IpAddress): IpAddress {
  if (address.length !== 16 || !EMBEDDING.some((prefix) => startsWith(address, prefix))) return address;
  return isLoopbackOrUnspecified(address) ? address : address.slice(12);
}

/**
 * Whether each address of its network is another client. In `64:ff9b:1::/48` an IPv4 address stands in a place that the
 * operator chooses, so no bit of it can be left out.
 */
export function isOneClient(address: IpAddress): boolean {
  return address.length === 4 || startsWith(address, LOCAL_NAT64);
}

function startsWith(address: IpAddress, prefix: readonly number[]): boolean {
  return prefix.every((byte, at) => address[at] === byte);
}

function isLoopbackOrUnspecified(address: IpAddress): boolean {
  return address.every((byte, at) => byte === 0 || (at === 15 && byte === 1));
}

/** The address with all but its first `bits` bits set to zero. */
export function maskAddress(address: IpAddress, bits: number): IpAddress {
  return address.map((byte, at) => byte & (0xff00 >> Math.min(8, Math.max(0, bits - 8 * at))) & 255);
}

/** The one spelling of an address, so that equal addresses are equal keys. @see RFC 5952 */
export function formatIpAddress(address: IpAddress): string {
  if (address.length === 4) return address.join(".");
  const groups = Array.from({ length: 8 }, (_, at) => ((address[2 * at] ?? 0) << 8) | (address[2 * at + 1] ?? 0));
  const [start, length] = longestZeros(groups);
  const hex = (part: readonly number[]): string => part.map((group) => group.toString(16)).join(":");
  // A single group of zeros is not shortened.
  return length < 2 ? hex(groups) : `${hex(groups.slice(0, start))}::${hex(groups.slice(start + length))}`;
}

/** The first of the longest runs of zeros. */
function longestZeros(groups: readonly number[]): [start: number, length: number] {
  let [start, longest, length] = [0, 0, 0];
  for (const [at, group] of groups.entries()) {
    length = group === 0 ? length + 1 : 0;
    if (length > longest) [start, longest] = [at - length + 1, length];
  }
  return [start, longest];
}

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
  if (typeof value !== "string") throw new TypeError(argumentError(name, rule, value));
  const [, text = "", length] = /^([^/]*)(?:\/(\d{1,3}))?$/.exec(value) ?? [];
  const written = parseIpAddress(text);
  if (written === undefined) throw new RangeError(argumentError(name, rule, value));
  const writtenBits = length === undefined ? 8 * written.length : Number(length);
  if (writtenBits > 8 * written.length) throw new RangeError(argumentError(name, rule, value));
  // Addresses are unwrapped before they are looked up, so a mapped range is the range that it maps.
  const isWrapped = writtenBits >= 96 && unwrapIPv4(written).length < written.length;
  const address = isWrapped ? unwrapIPv4(written) : written;
  const bits = isWrapped ? writtenBits - 96 : writtenBits;
  return { address: maskAddress(address, bits), bits };
}

/** Whether a range holds an unwrapped address. */
export function contains({ address, bits }: Network, candidate: IpAddress): boolean {
  return candidate.length === address.length && maskAddress(candidate, bits).every((byte, at) => byte === address[at]);
}
