import { bypassFrom } from "../core/bypass.js";
import { warnOnce } from "../core/warn.js";
import type { ClientKeyOptions } from "./client-key.js";
import { ClientKeys } from "./client-key.js";
import { parseIpAddress, unwrapped } from "./ip-address.js";
import { contains, parseNetwork } from "./network.js";
import type { RequestView } from "./request-view.js";

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
  view: RequestView<R>,
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
  return address !== undefined && INTERNAL.some((network) => contains(network, unwrapped(address)));
}

function warnOfProxy(): void {
  warnOnce(
    "SLUICEGATE_FORWARDED_NOT_TRUSTED",
    "Requests come through a proxy that is not trusted, so all clients behind it have one key. Set `client.trustProxy`",
    "A request from an internal address has `X-Forwarded-For`. `client: { trustProxy: 1 }` trusts one proxy; " +
      "`trustProxy: false` says that there is none, and `warnings: false` switches this warning off.",
  );
}
