import type { IpAddress } from "./ip-address.js";
import { parseIpAddress, unwrapped } from "./ip-address.js";
import type { Network } from "./network.js";
import { contains } from "./network.js";

/** Whose word about a client's address is believed. */
export type Trust =
  /** Nobody's: the address is the socket's. */
  | { readonly kind: "socket" }
  /** The last `hops` proxies, wherever they are. */
  | { readonly kind: "hops"; readonly hops: number }
  /** The proxies of these networks. */
  | { readonly kind: "networks"; readonly networks: readonly Network[] }
  /** Whoever writes this header, which holds one address; where networks are given, only when the socket is in them. */
  | { readonly kind: "header"; readonly header: string; readonly networks: readonly Network[] | undefined };

/** Longer than any chain of proxies writes; what a client sends to be read for long. */
const LONGEST_LIST = 4096;

/**
 * The address of the client of a request, or undefined where there is none.
 *
 * `X-Forwarded-For` is read from the right: its last entry was written by the proxy that the socket belongs to, the one
 * before it by the proxy in front of that, and everything further left by whoever pleased. So no more of it is read than
 * was written by those who are trusted. What is malformed says nothing, and the socket's address stands.
 */
export function clientAddress(
  socketAddress: string | undefined,
  header: (name: string) => string | undefined,
  trust: Trust,
): IpAddress | undefined {
  const socket = socketAddress === undefined ? undefined : parseHost(socketAddress);
  switch (trust.kind) {
    case "socket":
      return socket;
    case "hops":
      return entryFromRight(header("x-forwarded-for"), trust.hops) ?? socket;
    case "networks":
      return firstOutside(socket, header("x-forwarded-for"), trust.networks);
    case "header": {
      const { networks } = trust;
      if (networks !== undefined && (socket === undefined || !isIn(networks, socket))) return socket;
      const value = header(trust.header);
      return (value === undefined ? undefined : parseHost(value)) ?? socket;
    }
  }
}

/** Reads an address with whatever proxies put around it: a port, brackets, a zone, spaces. */
function parseHost(text: string): IpAddress | undefined {
  if (text.length > 128) return undefined;
  const host = text.trim();
  const [, bracketed, withPort] = /^\[([^\]]*)\](?::\d{1,5})?$|^([\d.]+):\d{1,5}$/.exec(host) ?? [];
  const [address = "", ...zones] = (bracketed ?? withPort ?? host).split("%");
  // Only IPv6 addresses have a zone.
  if (zones.length > 1 || (zones.length === 1 && !address.includes(":"))) return undefined;
  const parsed = parseIpAddress(address);
  return parsed && unwrapped(parsed);
}

function entryFromRight(list: string | undefined, place: number): IpAddress | undefined {
  const entry = entriesOf(list).at(-place);
  return entry === undefined ? undefined : parseHost(entry);
}

/** The first address from the right that is not a trusted proxy's; the leftmost where all are. */
function firstOutside(
  socket: IpAddress | undefined,
  list: string | undefined,
  networks: readonly Network[],
): IpAddress | undefined {
  if (socket === undefined || !isIn(networks, socket)) return socket;
  let client = socket;
  for (const entry of entriesOf(list).reverse()) {
    const address = parseHost(entry);
    if (address === undefined) return socket;
    client = address;
    if (!isIn(networks, address)) break;
  }
  return client;
}

/** The entries at the right end, which is what those wrote who may be trusted. A client that makes it long gains nothing. */
function entriesOf(list: string | undefined): string[] {
  if (list === undefined) return [];
  if (list.length <= LONGEST_LIST) return list.split(",");
  // The first of what is left is a part of an entry, or none.
  return list.slice(-LONGEST_LIST).split(",").slice(1);
}

function isIn(networks: readonly Network[], address: IpAddress): boolean {
  return networks.some((network) => contains(network, address));
}
