import { bypassFrom } from "../core/bypass.js";
import { warnOnce } from "../core/callbacks.js";
import { argumentError, assertInteger, memberOf, parseOptions } from "../core/validate.js";
import type { HeaderBag, RequestAdapter } from "./request-adapter.js";
import { headerOf, remoteAddressOf } from "./request-adapter.js";
import type { IpAddress, Network } from "./ip.js";
import {
  formatIpAddress,
  isIPv4,
  isOneClient,
  maskAddress,
  parseIpAddress,
  unwrapIPv4,
  contains,
  parseNetwork,
} from "./ip.js";

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
  const address = remoteAddressOf(memberOf(request, "socket"));
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
    const known = parseOptions(label, options, ["trustProxy", "header", "ipv6Prefix"]);
    this.#label = label;
    this.#bits = assertInteger("ipv6Prefix", known.ipv6Prefix ?? 64, 1, 128);
    this.#trust = trustOf(known);
    this.isUndecided = known.trustProxy === undefined && known.header === undefined;
  }

  /** The key of the client of a request; undefined where its address is not known. */
  of(socketAddress: string | undefined, header: (name: string) => string | undefined): string | undefined {
    // The most frequent case, in which the key is the text itself: an IPv4 address that no header can change.
    if (this.#trust.kind === "socket" && socketAddress !== undefined && isIPv4(socketAddress)) return socketAddress;
    const address = clientAddress(socketAddress, header, this.#trust);
    if (address === undefined || isOneClient(address) || this.#bits === 128) return address && formatIpAddress(address);
    return `${formatIpAddress(maskAddress(address, this.#bits))}/${this.#bits}`;
  }

  /** The error for a request without a key, with advice that fits the options. */
  missing(socketAddress: string | undefined, header: (name: string) => string | undefined): TypeError {
    const trust = this.#trust;
    const ownKey = "or make a `key` of your own";
    const socket = (advice: string): TypeError => {
      const rule = `the client's address; where there is no socket, or it is a pipe, ${advice}`;
      return new TypeError(argumentError("request.socket.remoteAddress", rule, socketAddress));
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
        return new TypeError(argumentError('request.headers["x-forwarded-for"]', rule, header("x-forwarded-for")));
      }
      case "header": {
        if (trust.networks !== undefined) {
          return socket(`leave \`${this.#label}.trustProxy\` out, so that \`${trust.header}\` is read, ${ownKey}`);
        }
        const rule = `the client's address, because \`${this.#label}.header\` names it; is it the header that your platform writes?`;
        return new TypeError(argumentError(`request.headers["${trust.header}"]`, rule, header(trust.header)));
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
    if (typeof header !== "string") throw new TypeError(argumentError("header", rule, header));
    if (!/^[\w!#$%&'*+.^`|~-]+$/.test(header) || LISTS.includes(header.toLowerCase())) {
      throw new RangeError(argumentError("header", rule, header));
    }
    if (networks === undefined && trustProxy !== false) {
      throw new TypeError(argumentError("trustProxy", "a list of networks, or absent, beside `header`", trustProxy));
    }
    return { kind: "header", header: header.toLowerCase(), networks };
  }
  if (networks !== undefined) return { kind: "networks", networks };
  if (trustProxy === false) return { kind: "socket" };
  if (typeof trustProxy !== "number") {
    throw new TypeError(
      argumentError("trustProxy", "false, a number of proxies, or a list of their networks", trustProxy),
    );
  }
  return { kind: "hops", hops: assertInteger("trustProxy", trustProxy, 1) };
}

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
  const host = text.trim();
  const [, bracketed, withPort] = /^\[([^\]]*)\](?::\d{1,5})?$|^([\d.]+):\d{1,5}$/.exec(host) ?? [];
  const [address = "", ...zones] = (bracketed ?? withPort ?? host).split("%");
  // Only IPv6 addresses have a zone.
  if (zones.length > 1 || (zones.length === 1 && !address.includes(":"))) return undefined;
  const parsed = parseIpAddress(address);
  return parsed && unwrapIPv4(parsed);
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

function entriesOf(list: string | undefined): string[] {
  return list === undefined ? [] : list.split(",");
}

function isIn(networks: readonly Network[], address: IpAddress): boolean {
  return networks.some((network) => contains(network, address));
}

/** In so many requests a proxy is looked for. Behind one, all have the header. */
const LOOKED_AT = 1000;

/** Where a proxy of one's own may be: loopback, private and link-local networks, and those that providers use within. */
const INTERNAL = [
  ...["127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "100.64.0.0/10"],
  ...["::1", "fc00::/7", "fe80::/10"],
].map((network) => parseNetwork("network", network));

/**
 * Makes the key of a request's client, as it is where no `key` is given; null where nobody is to be limited.
 *
 * It warns when requests come from an address within, with `X-Forwarded-For`, and nothing was said of proxies: then there is
 * one, and all clients behind it have one key.
 */
export function clientOfRequest<R>(
  view: RequestAdapter<R>,
  options: ClientKeyOptions,
  warns: boolean,
): (request: R) => string | null {
  const clients = new ClientKeys(options, "client");
  const bypass = bypassFrom(undefined);
  let looksLeft = warns && clients.isUndecided ? LOOKED_AT : 0;
  return (request) => {
    const address = view.address(request);
    const header = (name: string): string | undefined => view.header(request, name);
    if (looksLeft > 0) {
      looksLeft -= 1;
      if (isInternal(address) && (header("x-forwarded-for") ?? "") !== "") warnOfProxy();
    }
    const key = clients.of(address, header);
    if (key !== undefined) return key;
    // A test that calls an app without a socket: its limiters let everybody pass, so nobody needs to be told apart.
    if (bypass?.("") === true) return null;
    throw clients.missing(address, header);
  };
}

function isInternal(text: string | undefined): boolean {
  const address = parseIpAddress(text?.split("%")[0] ?? "");
  return address !== undefined && INTERNAL.some((network) => contains(network, unwrapIPv4(address)));
}

function warnOfProxy(): void {
  warnOnce(
    "SLUICEGATE_FORWARDED_NOT_TRUSTED",
    "Requests come through a proxy that is not trusted, so all clients behind it have one key. Set `client.trustProxy`",
    "A request from an internal address has `X-Forwarded-For`. `client: { trustProxy: 1 }` trusts one proxy; " +
      "`trustProxy: false` says that there is none, and `warnings: false` switches this warning off.",
  );
}
