import { isOneClient, parseNetwork, rangeKey } from "../http/ip.js";

/** The keys of one client. */
export interface ClientKeys {
  /** The address: of IPv4 itself, of IPv6 its /64, as `clientKey` makes it. */
  readonly address: string;
  /** The network around it: a /24 of IPv4, a /48 of IPv6, which providers assign to one site. */
  readonly network: string;
}

/**
 * Makes the keys of a client from its address, or from what `clientKey` returns.
 *
 * @throws TypeError if it is not a string, RangeError if it is neither an IP address nor a range of them.
 */
export function clientKeys(text: string): ClientKeys {
  const { address, bits } = parseNetwork("address", text);
  const isIPv4 = address.length === 4;
  // An IPv6 address that may contain one of IPv4 anywhere is a client, and says nothing of its network.
  const [client, site] = isIPv4 ? [32, 24] : isOneClient(address) ? [128, 128] : [64, 48];
  return { address: rangeKey(address, Math.min(bits, client)), network: rangeKey(address, Math.min(bits, site)) };
}
