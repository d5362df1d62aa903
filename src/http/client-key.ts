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
  const keys = new ClientKeys(options, "options");
  const address = request.socket?.remoteAddress;
  const header = (name: string): string | undefined => headerOf(request.headers, name);
  const key = keys.of(address, header);
  if (key === undefined) throw keys.missing(address, header);
  return key;
}

/** Makes the keys of clients, by options that are read once. */
export class ClientKeys {
  readonly #label: string;
  readonly #bits: number;
  readonly #trust: Trust;
  /** Whether the options say nothing of proxies: neither which are trusted, nor that there is none. */
  readonly isUndecided: boolean;

  /** @param label - what the options are called, for errors. */
  constructor(options: ClientKeyOptions, label: string) {
    const known = knownOptions(label, options, ["trustProxy", "header", "ipv6Prefix"]);
    this.#label = label;
    this.#bits = wholeNumber("ipv6Prefix", known.ipv6Prefix ?? 64, 1, 128);
    this.#trust = trustOf(known);
    this.isUndecided = known.trustProxy === undefined && known.header === undefined;
  }

  /** The key of the client of a request; undefined where its address is not known. */
  of(socketAddress: string | undefined, header: (name: string) => string | undefined): string | undefined {
    // The most frequent case, in which the key is the text itself: an IPv4 address that no header can change.
    if (this.#trust.kind === "socket" && socketAddress !== undefined && isIPv4(socketAddress)) return socketAddress;
    const address = clientAddress(socketAddress, header, this.#trust);
    if (address === undefined || isOneClient(address) || this.#bits === 128) return address && formatIpAddress(address);
    return `${formatIpAddress(masked(address, this.#bits))}/${this.#bits}`;
  }

  /** The error for a request without a key, with advice that fits the options. */
  missing(socketAddress: string | undefined, header: (name: string) => string | undefined): TypeError {
    const trust = this.#trust;
    const ownKey = "or make a `key` of your own";
    const socket = (advice: string): TypeError => {
      const rule = `the client's address; where there is no socket, or it is a pipe, ${advice}`;
      return new TypeError(expected("request.socket.remoteAddress", rule, socketAddress));
    };
    switch (trust.kind) {
      case "socket":
        return socket(
          "set `trustProxy` to the number of proxies, name the `header` that your platform writes it into, " + ownKey,
        );
      case "networks":
        return socket(
          `set \`${this.#label}.trustProxy\` to the number of proxies in place of their networks, ${ownKey}`,
        );
      case "hops": {
        const rule = `a list whose entry ${trust.hops} from the right is the client's address, by \`${this.#label}.trustProxy\``;
        return new TypeError(expected('request.headers["x-forwarded-for"]', rule, header("x-forwarded-for")));
      }
      case "header": {
        if (trust.networks !== undefined) {
          return socket(`leave \`${this.#label}.trustProxy\` out, so that \`${trust.header}\` is read, ${ownKey}`);
        }
        const rule = `the client's address, because \`${this.#label}.header\` names it; is it the header that your platform writes?`;
        return new TypeError(expected(`request.headers["${trust.header}"]`, rule, header(trust.header)));
      }
    }
  }
}

/** Headers that hold more than one address. */
const LISTS = ["x-forwarded-for", "forwarded"];

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
