import { rangeError, typeError } from "../core/validate.js";

/** The bytes of an IP address: 4 for IPv4, 16 for IPv6. */
export type IpAddress = readonly number[];

/** The length of the longest address: `ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255`. */
const MAX_LENGTH = 45;

/**
 * Parses an IPv4 or IPv6 address in any notation, without port or zone; undefined for any other text.
 *
 * It does not use `node:net`, which edge workers lack; the tests compare the two. An octet with a leading zero is invalid,
 * because some parsers read it as octal.
 *
 * @see RFC 4291, section 2.2
 */
export function parseIpAddress(text: string): IpAddress | undefined {
  if (text.length > MAX_LENGTH) return undefined;
  return text.includes(":") ? parseIPv6(text) : parseIPv4(text);
}

const OCTET = "(?:25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)";
const IPV4 = new RegExp(`^${OCTET}(?:\\.${OCTET}){3}$`);

/** Whether a text is an IPv4 address. IPv4 has a single notation here, so equal addresses are equal texts. */
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
  // `::` represents at least one group of zeros.
  if (tail === undefined || head.length + tail.length > 14) return undefined;
  return [...head, ...new Array<number>(16 - head.length - tail.length).fill(0), ...tail];
}

/** The bytes of one side of `::`; undefined if it is invalid. The last group of an address may be an IPv4 address. */
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

/** The bytes of the leading groups of an IPv6 address. */
const prefixOf = (...groups: readonly number[]): readonly number[] =>
  groups.flatMap((group) => [group >> 8, group & 255]);

/** The /96 prefixes that an IPv4 address follows. */
const IPV4_PREFIXES = [
  // IPv4-mapped: RFC 4291, section 2.5.5.2.
  prefixOf(0, 0, 0, 0, 0, 0xffff),
  // IPv4-translated, by SIIT: RFC 2765, section 2.1.
  prefixOf(0, 0, 0, 0, 0xffff, 0),
  // IPv4-compatible, deprecated: RFC 4291, section 2.5.5.1.
  prefixOf(0, 0, 0, 0, 0, 0),
  // The well-known prefix of NAT64: RFC 6052, section 2.1.
  prefixOf(0x64, 0xff9b, 0, 0, 0, 0),
];

/** `64:ff9b:1::/48`, the prefix for NAT64 inside a network: RFC 8215. */
const LOCAL_NAT64 = prefixOf(0x64, 0xff9b, 1);

/**
 * Returns the IPv4 address inside an IPv6 address that is mapped, translated (SIIT, NAT64) or compatible, and any other address
 * unchanged. Otherwise all IPv4 clients of a dual-stack socket would share one /64.
 *
 * `::` and `::1` contain no IPv4 address. 6to4 and Teredo addresses are unchanged, because the IPv4 address in them is that of a
 * whole network.
 */
export function unwrapIPv4(address: IpAddress): IpAddress {
  if (address.length !== 16 || !IPV4_PREFIXES.some((prefix) => startsWith(address, prefix))) return address;
  return isLoopbackOrUnspecified(address) ? address : address.slice(12);
}

/**
 * Whether the address identifies one client, so that it must not be cut to a prefix. In `64:ff9b:1::/48` the operator chooses the
 * position of the IPv4 address, so every bit may belong to it.
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

/** Sets all bits of an address after the first `bits` to zero. */
export function maskAddress(address: IpAddress, bits: number): IpAddress {
  return address.map((byte, at) => byte & (0xff00 >> Math.min(8, Math.max(0, bits - 8 * at))) & 255);
}

/** Formats an address in its canonical notation, so that equal addresses are equal keys. @see RFC 5952 */
export function formatIpAddress(address: IpAddress): string {
  if (address.length === 4) return address.join(".");
  const groups = Array.from({ length: 8 }, (_, at) => ((address[2 * at] ?? 0) << 8) | (address[2 * at + 1] ?? 0));
  const [start, length] = longestZeros(groups);
  const hex = (part: readonly number[]): string => part.map((group) => group.toString(16)).join(":");
  // RFC 5952, section 4.2.2: `::` must not shorten a single group.
  return length < 2 ? hex(groups) : `${hex(groups.slice(0, start))}::${hex(groups.slice(start + length))}`;
}

/** The longest run of zeros; the first of them if several are equally long. */
function longestZeros(groups: readonly number[]): [start: number, length: number] {
  let [start, longest, length] = [0, 0, 0];
  for (const [at, group] of groups.entries()) {
    length = group === 0 ? length + 1 : 0;
    if (length > longest) [start, longest] = [at - length + 1, length];
  }
  return [start, longest];
}

/**
 * The key of all addresses that share the first `bits` bits of this one: their range (`2001:db8:1:2::/64`), or the address if it
 * has no more bits.
 */
export function rangeKey(address: IpAddress, bits: number): string {
  if (bits >= 8 * address.length) return formatIpAddress(address);
  return `${formatIpAddress(maskAddress(address, bits))}/${bits}`;
}

/** A range of addresses that share their first `bits` bits. */
export interface Network {
  readonly address: IpAddress;
  readonly bits: number;
}

/**
 * Parses a range in CIDR notation (`10.0.0.0/8`, `2001:db8::/32`), or a single address.
 *
 * @throws TypeError if `value` is not a string, RangeError if it is not a range.
 */
export function parseNetwork(name: string, value: unknown): Network {
  const rule = "an IP address or a range of them, like `10.0.0.0/8`";
  if (typeof value !== "string") throw typeError(name, rule, value);
  const [, text = "", length] = /^([^/]*)(?:\/(\d{1,3}))?$/.exec(value) ?? [];
  const parsed = parseIpAddress(text);
  if (parsed === undefined) throw rangeError(name, rule, value);
  const parsedBits = length === undefined ? 8 * parsed.length : Number(length);
  if (parsedBits > 8 * parsed.length) throw rangeError(name, rule, value);
  // `contains` gets unwrapped addresses only, so a range of mapped addresses is unwrapped as well.
  const isWrapped = parsedBits >= 96 && unwrapIPv4(parsed).length < parsed.length;
  const address = isWrapped ? unwrapIPv4(parsed) : parsed;
  const bits = isWrapped ? parsedBits - 96 : parsedBits;
  return { address: maskAddress(address, bits), bits };
}

/** Whether a range contains an address, which must be unwrapped. */
export function contains({ address, bits }: Network, candidate: IpAddress): boolean {
  return candidate.length === address.length && maskAddress(candidate, bits).every((byte, at) => byte === address[at]);
}
