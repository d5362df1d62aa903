import { expected, knownOptions, wholeNumber } from "../core/expected.js";
import type { Trust } from "./client-address.js";
import { clientAddress } from "./client-address.js";
import { formatIpAddress, isIPv4, isOneClient, masked } from "./ip-address.js";
import type { HeaderBag } from "./header-bag.js";
import { headerOf } from "./header-bag.js";
import { parseNetwork } from "./network.js";

/** How the address of a client is found, and made a key of. */
export interface ClientKeyOptions {
  /**
   * Whose `X-Forwarded-For` is believed: nobody's; that of the last so many proxies, 1 for the one in front of this
   * service; or that of the proxies at these addresses and in these networks (`"10.0.0.0/8"`). It is read from the right,
   * and what anybody else wrote into it is not read at all.
   *
   * A number is right where nobody can get past the proxies. Where they can, list the proxies.
   * @default false
   */
  readonly trustProxy?: false | number | readonly string[] | undefined;
  /**
   * A header that holds the one address of the client, written by a platform that lets no client send it:
   * `"cf-connecting-ip"`, say. Beside a `trustProxy` of networks it is believed only of those.
   * @default undefined
   */
  readonly header?: string | undefined;
  /**
   * How many bits of an IPv6 address make the key, from 1 to 128: whoever rents a machine has a /64, and one bucket for
   * each of its addresses would be no limit at all.
   * @default 64
   */
  readonly ipv6Prefix?: number | undefined;
}

/** A request as far as {@link clientKey} reads it: one of node, express, fastify or koa, or any with these parts. */
export interface ClientRequest {
  readonly headers: HeaderBag;
  readonly socket?: { readonly remoteAddress?: string | undefined } | null | undefined;
}

/**
 * The key of the client that made a request: its IPv4 address, or the network of its IPv6 address (`2001:db8:1:2::/64`).
 *
 * By default that is the address of the socket, which nobody can forge, and no header is believed. IPv4 addresses inside
 * IPv6 ones are taken out first; ports and zones are dropped. Whatever is malformed in a header says nothing, and the
 * socket's address stands.
 *
 * @throws TypeError when an option is not fit, or there is no address: never one key for everybody.
 *
 * @example
 * clientKey(request); // "203.0.113.7"
 * clientKey(request, { trustProxy: 1 }); // behind one proxy
 */
export function clientKey(request: ClientRequest, options: ClientKeyOptions = {}): string {
  const key = clientKeyMaker(options)(request.socket?.remoteAddress, (name) => headerOf(request.headers, name));
  if (key === undefined) throw noAddress(request.socket?.remoteAddress);
  return key;
}

/** Reads the options once, and returns what makes a key of the socket's address and the headers. */
export function clientKeyMaker(
  options: ClientKeyOptions,
  name: string = "options",
): (socketAddress: string | undefined, header: (name: string) => string | undefined) => string | undefined {
  const known = knownOptions(name, options, ["trustProxy", "header", "ipv6Prefix"]);
  const bits = wholeNumber("ipv6Prefix", known.ipv6Prefix ?? 64, 1, 128);
  const trust = trustOf(known);
  return (socketAddress, header) => {
    // What most requests come to, and what is its own key: an IPv4 address that nobody else is asked about.
    if (trust.kind === "socket" && socketAddress !== undefined && isIPv4(socketAddress)) return socketAddress;
    const address = clientAddress(socketAddress, header, trust);
    if (address === undefined || isOneClient(address) || bits === 128) return address && formatIpAddress(address);
    return `${formatIpAddress(masked(address, bits))}/${bits}`;
  };
}

/** Headers that hold more than one address. */
const LISTS = ["x-forwarded-for", "forwarded"];

/** What to say of a request that nobody can tell the client of. */
export function noAddress(found: unknown): TypeError {
  const rule =
    "the client's address; where there is no socket, or it is a pipe, make a `key` of your own, set `trustProxy` to the " +
    "number of proxies, or name the `header` that your platform writes it into";
  return new TypeError(expected("request.socket.remoteAddress", rule, found));
}

function trustOf({ trustProxy = false, header }: ClientKeyOptions): Trust {
  const networks = Array.isArray(trustProxy)
    ? trustProxy.map((entry: unknown, at) => parseNetwork(`trustProxy[${at}]`, entry))
    : undefined;
  if (header !== undefined) {
    const rule =
      "the name of a header that holds one address; for `x-forwarded-for`, which holds a list, set `trustProxy`";
    if (typeof header !== "string") throw new TypeError(expected("header", rule, header));
    if (!/^[\w!#$%&'*+.^`|~-]+$/.test(header) || LISTS.includes(header.toLowerCase())) {
      throw new RangeError(expected("header", rule, header));
    }
    if (networks === undefined && trustProxy !== false) {
      throw new TypeError(expected("trustProxy", "a list of networks, or absent, beside `header`", trustProxy));
    }
    return { kind: "header", header: header.toLowerCase(), networks };
  }
  if (networks !== undefined) return { kind: "networks", networks };
  if (trustProxy === false) return { kind: "socket" };
  if (typeof trustProxy !== "number") {
    throw new TypeError(expected("trustProxy", "false, a number of proxies, or a list of their networks", trustProxy));
  }
  return { kind: "hops", hops: wholeNumber("trustProxy", trustProxy, 1) };
}
