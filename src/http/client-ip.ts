import { bypassFrom } from "../core/bypass.js";
import { warnOnce } from "../core/callbacks.js";
import { rangeError, typeError, assertInteger, memberOf, parseOptions } from "../core/validate.js";
import type { HeaderBag, RequestView } from "./request-view.js";
import { headerOf, remoteAddressOf } from "./request-view.js";
import type { IpAddress, Network } from "./ip.js";
import {
  formatIpAddress,
  isIPv4,
  isOneClient,
  parseIpAddress,
  rangeKey,
  unwrapIPv4,
  contains,
  parseNetwork,
} from "./ip.js";

/** How the address of a client is found, and how the key is made from it. */
export interface ClientKeyOptions {
  /**
   * Which proxies are trusted to write `X-Forwarded-For`: `false` for none; a number of proxies of at least 1, where 1 is the
   * proxy in front of this service; or a list of the addresses and networks (`"10.0.0.0/8"`) of the proxies.
   *
   * The header is read from the right, and entries that a trusted proxy did not write are ignored. If the header has fewer
   * entries than proxies, or an invalid entry is reached, the address of the socket is used.
   *
   * Use a number only if no client can bypass the proxies, and a list otherwise: with a number, a client that connects directly
   * chooses its own address.
   * @default false
   */
  readonly trustProxy?: false | number | readonly string[] | undefined;
  /**
   * The name of a header that holds the client's address, such as `"cf-connecting-ip"`. The platform must overwrite the header if
   * a client sends it. If `trustProxy` is a list, the header is read only from those proxies; together with a number it is a
   * `TypeError`. If the header is absent or invalid, the address of the socket is used.
   * @default undefined, no such header is read
   */
  readonly header?: string | undefined;
  /**
   * The number of leading bits of an IPv6 address that make the key, from 1 to 128. A provider assigns at least a /64 to each
   * machine, so with a key for each address one client would have any number of keys. IPv4 addresses are not cut.
   * @default 64
   */
  readonly ipv6Prefix?: number | undefined;
}

/** The members of a request that {@link clientKey} reads: one of node, express, fastify or koa, or any object of this shape. */
export interface ClientRequest {
  readonly headers: HeaderBag;
  readonly socket?: { readonly remoteAddress?: string | undefined } | null | undefined;
}

/**
 * The key of the client that made a request: its IPv4 address, or the network of its IPv6 address (`2001:db8:1:2::/64`).
 *
 * By default it reads the address of the socket, which a client cannot forge, and no header. An IPv4 address inside an IPv6
 * address is extracted first; ports and zones are dropped. If a header is invalid, the address of the socket is used.
 *
 * @throws TypeError for an option that is unknown or of the wrong type, or if the address is unknown: a key that all such
 *   clients share would limit them together. RangeError for an option out of range.
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
  if (key === undefined) throw keys.unknownAddressError(address, header);
  return key;
}

/** Makes the keys of clients. It reads the options once. */
class ClientKeys {
  readonly #label: string;
  readonly #bits: number;
  readonly #trust: Trust;
  /** Whether neither `trustProxy` nor `header` is set. */
  readonly hasNoProxyOption: boolean;

  /** @param label - the name of the options in errors. */
  constructor(options: ClientKeyOptions, label: string) {
    const known = parseOptions(label, options, ["trustProxy", "header", "ipv6Prefix"]);
    this.#label = label;
    this.#bits = assertInteger("ipv6Prefix", known.ipv6Prefix ?? 64, 1, 128);
    this.#trust = trustOf(known);
    this.hasNoProxyOption = known.trustProxy === undefined && known.header === undefined;
  }

  /** The key of the client of a request; undefined if its address is unknown. */
  of(socketAddress: string | undefined, header: (name: string) => string | undefined): string | undefined {
    // A fast path for the most frequent case: no header is read, and an IPv4 address is its own key.
    if (this.#trust.kind === "socket" && socketAddress !== undefined && isIPv4(socketAddress)) return socketAddress;
    const address = clientAddress(socketAddress, header, this.#trust);
    return address && (isOneClient(address) ? formatIpAddress(address) : rangeKey(address, this.#bits));
  }

  /** Creates the error for a request without a key, with advice for these options. */
  unknownAddressError(socketAddress: string | undefined, header: (name: string) => string | undefined): TypeError {
    const trust = this.#trust;
    const ownKey = "or make a `key` of your own";
    const socketError = (advice: string): TypeError => {
      const rule = `the client's address; where there is no socket, or it is a pipe, ${advice}`;
      return typeError("request.socket.remoteAddress", rule, socketAddress);
    };
    switch (trust.kind) {
      case "socket":
        return socketError(
          "set `trustProxy` to the number of proxies, name the `header` that your platform writes it into, " + ownKey,
        );
      case "networks":
        return socketError(
          `set \`${this.#label}.trustProxy\` to the number of proxies in place of their networks, ${ownKey}`,
        );
      case "hops": {
        const rule = `a list whose entry ${trust.hops} from the right is the client's address, by \`${this.#label}.trustProxy\``;
        return typeError('request.headers["x-forwarded-for"]', rule, header("x-forwarded-for"));
      }
      case "header": {
        if (trust.networks !== undefined) {
          return socketError(`leave \`${this.#label}.trustProxy\` out, so that \`${trust.header}\` is read, ${ownKey}`);
        }
        const rule = `the client's address, because \`${this.#label}.header\` names it; is it the header that your platform writes?`;
        return typeError(`request.headers["${trust.header}"]`, rule, header(trust.header));
      }
    }
  }
}

/** Headers that hold a list of addresses. */
const LIST_HEADERS = ["x-forwarded-for", "forwarded"];

function trustOf({ trustProxy = false, header }: ClientKeyOptions): Trust {
  const networks = Array.isArray(trustProxy)
    ? trustProxy.map((entry: unknown, at) => parseNetwork(`trustProxy[${at}]`, entry))
    : undefined;
  if (header !== undefined) {
    const rule =
      "the name of a header that holds one address; for `x-forwarded-for`, which holds a list, set `trustProxy`";
    if (typeof header !== "string") throw typeError("header", rule, header);
    if (!/^[\w!#$%&'*+.^`|~-]+$/.test(header) || LIST_HEADERS.includes(header.toLowerCase())) {
      throw rangeError("header", rule, header);
    }
    if (networks === undefined && trustProxy !== false) {
      throw typeError("trustProxy", "a list of networks, or absent, beside `header`", trustProxy);
    }
    return { kind: "header", header: header.toLowerCase(), networks };
  }
  if (networks !== undefined) return { kind: "networks", networks };
  if (trustProxy === false) return { kind: "socket" };
  if (typeof trustProxy !== "number") {
    throw typeError("trustProxy", "false, a number of proxies, or a list of their networks", trustProxy);
  }
  return { kind: "hops", hops: assertInteger("trustProxy", trustProxy, 1) };
}

/** Where the address of a client is read from. */
type Trust =
  /** The socket alone. */
  | { readonly kind: "socket" }
  /** The `X-Forwarded-For` of the last `hops` proxies, at any address. */
  | { readonly kind: "hops"; readonly hops: number }
  /** The `X-Forwarded-For` of the proxies in these networks. */
  | { readonly kind: "networks"; readonly networks: readonly Network[] }
  /** This header, which holds one address. If there are networks, only if the socket is in one of them. */
  | { readonly kind: "header"; readonly header: string; readonly networks: readonly Network[] | undefined };

/**
 * The address of the client of a request; undefined if it is unknown.
 *
 * `X-Forwarded-For` is read from the right. The proxy that the socket belongs to wrote the last entry, the proxy in front of it
 * wrote the entry before, and so on; the client can forge everything further left. So only the entries of trusted proxies are
 * read. If an entry is invalid, the address of the socket is used.
 */
function clientAddress(
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
      return firstUntrusted(socket, header("x-forwarded-for"), trust.networks);
    case "header": {
      const { networks } = trust;
      if (networks !== undefined && (socket === undefined || !isIn(networks, socket))) return socket;
      const value = header(trust.header);
      return (value === undefined ? undefined : parseHost(value)) ?? socket;
    }
  }
}

/** Parses an address with what proxies add to it: a port, brackets, a zone, spaces. */
function parseHost(text: string): IpAddress | undefined {
  const host = text.trim();
  const [, bracketed, withPort] = /^\[([^\]]*)\](?::\d{1,5})?$|^([\d.]+):\d{1,5}$/.exec(host) ?? [];
  const [address = "", ...zones] = (bracketed ?? withPort ?? host).split("%");
  // Only IPv6 addresses have a zone.
  if (zones.length > 1 || (zones.length === 1 && !address.includes(":"))) return undefined;
  const parsed = parseIpAddress(address);
  return parsed && unwrapIPv4(parsed);
}

function entryFromRight(list: string | undefined, position: number): IpAddress | undefined {
  const entry = entriesOf(list).at(-position);
  return entry === undefined ? undefined : parseHost(entry);
}

/** The first address from the right that is not in these networks; the leftmost if all are. */
function firstUntrusted(
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

/** How many requests are inspected for a proxy. Behind one, every request has the header. */
const REQUESTS_TO_INSPECT = 1000;

/** The networks that a proxy of the same operator can be in: loopback, private, link-local and carrier-grade NAT. */
const INTERNAL = [
  ...["127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "100.64.0.0/10"],
  ...["::1", "fc00::/7", "fe80::/10"],
].map((network) => parseNetwork("network", network));

/**
 * Returns a function that makes the key of a request from the client's address. The key is null if the address is unknown
 * and `TESTING=1` switches limits off.
 *
 * It emits a warning if a request with `X-Forwarded-For` comes from an internal address while `client` sets neither
 * `trustProxy` nor `header`: such a request comes through a proxy, and all clients behind it share a key.
 */
export function clientOfRequest<R>(
  view: RequestView<R>,
  options: ClientKeyOptions,
  warnings: boolean,
): (request: R) => string | null {
  const clients = new ClientKeys(options, "client");
  const bypass = bypassFrom(undefined);
  let inspectionsLeft = warnings && clients.hasNoProxyOption ? REQUESTS_TO_INSPECT : 0;
  return (request) => {
    const address = view.address(request);
    const header = (name: string): string | undefined => view.header(request, name);
    if (inspectionsLeft > 0) {
      inspectionsLeft -= 1;
      if (isInternal(address) && (header("x-forwarded-for") ?? "") !== "") warnOfProxy();
    }
    const key = clients.of(address, header);
    if (key !== undefined) return key;
    // A test may call an app without a socket. Its limiters allow every request, so no key is needed.
    if (bypass?.("") === true) return null;
    throw clients.unknownAddressError(address, header);
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
