import { BlockList, isIP } from "node:net";
import fc from "fast-check";
import { clientKey } from "sluicegate/http";
import { describe, expect, it } from "vitest";
import {
  formatIpAddress,
  maskAddress,
  parseIpAddress,
  unwrapIPv4,
  contains,
  parseNetwork,
} from "../../../src/http/ip.js";

/** Texts that are addresses, nearly are, or are not at all. */
const hex = fc.integer({ min: 0, max: 0xffff }).map((group) => group.toString(16));
const group = fc.oneof(
  hex,
  fc.constant("0"),
  fc.constant("00ff"),
  fc.constant("FFFF"),
  fc.constant(""),
  fc.constant("12345"),
);
const octet = fc.oneof(
  fc.integer({ min: 0, max: 260 }).map(String),
  fc.constantFrom("0", "00", "01", "255", "256", "", "1e1", "-1", "٣"),
);
const v4 = fc.array(octet, { minLength: 3, maxLength: 5 }).map((octets) => octets.join("."));
const v6 = fc
  .tuple(fc.array(group, { maxLength: 9 }), fc.option(fc.nat(9)), fc.option(v4))
  .map(([groups, gap, last]) => {
    const all = last === null ? groups : [...groups, last];
    return gap === null ? all.join(":") : `${all.slice(0, gap).join(":")}::${all.slice(gap).join(":")}`;
  });
const text = fc.oneof(v4, v6, fc.ipV4(), fc.ipV6(), fc.string());

describe("the reader of addresses", () => {
  it("takes exactly what Node takes", () => {
    fc.assert(
      fc.property(text, (address) => {
        // Zones are the business of whoever reads a header.
        fc.pre(!address.includes("%"));
        const version = parseIpAddress(address)?.length;
        expect(version === undefined ? 0 : version === 4 ? 4 : 6).toBe(isIP(address));
      }),
      { numRuns: 20_000 },
    );
  });

  it("writes every address as the URL standard does, and reads it again", () => {
    fc.assert(
      fc.property(fc.ipV6(), (address) => {
        const bytes = parseIpAddress(address)!;
        const written = formatIpAddress(bytes);
        expect(`[${written}]`).toBe(new URL(`http://[${address}]/`).hostname);
        expect(parseIpAddress(written)).toEqual(bytes);
      }),
      { numRuns: 2000 },
    );
  });

  it("finds an address in a network exactly when Node does", () => {
    const networks = fc.oneof(
      fc.tuple(fc.ipV4(), fc.nat(32)).map(([net, bits]) => ({ net, bits, family: "ipv4" as const })),
      fc.tuple(fc.ipV6(), fc.nat(128)).map(([net, bits]) => ({ net, bits, family: "ipv6" as const })),
    );
    fc.assert(
      fc.property(networks, fc.oneof(fc.ipV4(), fc.ipV6()), fc.nat(128), ({ net, bits, family }, other, near) => {
        const list = new BlockList();
        list.addSubnet(net, bits, family);
        const network = parseNetwork("trustProxy[0]", `${net}/${bits}`);
        // Far away, and nearby: the same address from some bit on.
        const neighbour = parseIpAddress(net)!.map((byte, at) => (8 * at >= near ? byte ^ 0x55 : byte));
        for (const bytes of [parseIpAddress(other)!, neighbour]) {
          const version = bytes.length === 4 ? "ipv4" : "ipv6";
          // Mapped addresses are unwrapped before they are looked up, so the result of Node for them is not compared.
          if (unwrapIPv4(bytes) !== bytes || network.address.length !== parseIpAddress(net)!.length) continue;
          expect(contains(network, bytes)).toBe(version === family && list.check(formatIpAddress(bytes), version));
        }
      }),
      { numRuns: 2000 },
    );
  });

  it("keeps the first bits of an address, and no others", () => {
    fc.assert(
      fc.property(fc.ipV6(), fc.nat(128), (address, bits) => {
        const bytes = parseIpAddress(address)!;
        const binary = (value: readonly number[]): string =>
          value.map((byte) => byte.toString(2).padStart(8, "0")).join("");
        expect(binary(maskAddress(bytes, bits))).toBe(binary(bytes).slice(0, bits).padEnd(128, "0"));
      }),
    );
  });
});

const from = (remoteAddress: string | undefined, forwarded?: string): Parameters<typeof clientKey>[0] => ({
  headers: forwarded === undefined ? {} : { "x-forwarded-for": forwarded },
  socket: { remoteAddress },
});

describe("clientKey", () => {
  it.each([
    ["203.0.113.7", "203.0.113.7"],
    ["::ffff:203.0.113.7", "203.0.113.7"],
    ["::FFFF:cb00:7107", "203.0.113.7"],
    ["64:ff9b::203.0.113.7", "203.0.113.7"],
    ["2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"],
    ["2001:DB8:1:2::1", "2001:db8:1:2::/64"],
    ["fe80::1%eth0", "fe80::/64"],
    ["::1", "::/64"],
    ["::", "::/64"],
    // IPv4-translated (SIIT), IPv4-compatible, and the NAT64 prefix for use within a network.
    ["::ffff:0:203.0.113.7", "203.0.113.7"],
    ["::FFFF:0:CB00:7107", "203.0.113.7"],
    ["::203.0.113.7", "203.0.113.7"],
    ["::cb00:7107", "203.0.113.7"],
    ["64:ff9b:1::203.0.113.7", "64:ff9b:1::cb00:7107"],
    ["64:ff9b:1:fffe::203.0.113.7", "64:ff9b:1:fffe::cb00:7107"],
    ["64:ff9b:1:cb00:71:700::", "64:ff9b:1:cb00:71:700::"],
    // Their neighbours are ordinary IPv6.
    ["::ffff:1:203.0.113.7", "::/64"],
    ["64:ff9b:2::203.0.113.7", "64:ff9b:2::/64"],
    ["64:ff9b:0:1::203.0.113.7", "64:ff9b:0:1::/64"],
    // 6to4 and Teredo: a network stands behind each.
    ["2002:cb00:7107:1::1", "2002:cb00:7107:1::/64"],
    ["2001:0:4136:e378:8000:63bf:3fff:fdd2", "2001:0:4136:e378::/64"],
  ])("of a socket of %s is %s", (address, key) => {
    expect(clientKey(from(address))).toBe(key);
  });

  it("keeps IPv4 clients of a dual-stack socket apart at every prefix length, as CVE-2026-30827 did not", () => {
    const prefixes = ["::ffff:", "::FFFF:", "0:0:0:0:0:ffff:", "0000:0000:0000:0000:0000:ffff:", "::ffff:0:", "::"];
    for (const ipv6Prefix of [32, 48, 56, 64, 80, 96, 128]) {
      for (const prefix of prefixes) {
        for (const [dotted, groups] of [
          ["192.168.1.1", "c0a8:0101"],
          ["192.168.1.2", "C0A8:102"],
          ["8.8.8.8", "808:808"],
        ] as const) {
          expect(clientKey(from(prefix + dotted), { ipv6Prefix })).toBe(dotted);
          expect(clientKey(from(prefix + groups), { ipv6Prefix })).toBe(dotted);
        }
      }
      // Each address of the NAT64 prefix for local use may be another IPv4 client.
      const keys = ["192.0.2.1", "192.0.2.2"].map((end) => clientKey(from(`64:ff9b:1::${end}`), { ipv6Prefix }));
      expect(new Set(keys).size).toBe(2);
    }
  });

  it("gives no new key for another address of a /64, another spelling, or a forged header, as CVE-2026-45364 did", () => {
    const rotated = ["2001:db8:1:2::1", "2001:db8:1:2::2", "2001:db8:1:2:ffff:ffff:ffff:ffff"];
    const spelled = ["2001:DB8:1:2::1", "2001:0db8:0001:0002:0:0:0:1", "2001:db8:1:2:0::1", "2001:db8:1:2::1%eth0"];
    for (const address of [...rotated, ...spelled]) {
      expect(clientKey(from(address))).toBe("2001:db8:1:2::/64");
      expect(clientKey(from("10.0.0.1", `[${address}]:443`), { trustProxy: 1 })).toBe("2001:db8:1:2::/64");
    }
    for (const forged of ["1.1.1.1", "2.2.2.2", "::1", "unknown"]) {
      expect(clientKey(from("203.0.113.7", forged))).toBe("203.0.113.7");
      expect(clientKey(from("10.0.0.1", `${forged}, 203.0.113.7`), { trustProxy: 1 })).toBe("203.0.113.7");
    }
  });

  it("takes as many bits of an IPv6 address as ipv6Prefix sets", () => {
    expect(clientKey(from("2001:db8:1234:5678::1"), { ipv6Prefix: 48 })).toBe("2001:db8:1234::/48");
    expect(clientKey(from("2001:db8:1234:5678::1"), { ipv6Prefix: 56 })).toBe("2001:db8:1234:5600::/56");
    expect(clientKey(from("2001:db8:1234:5678::1"), { ipv6Prefix: 128 })).toBe("2001:db8:1234:5678::1");
  });

  it("reads no header by default", () => {
    fc.assert(
      fc.property(fc.string(), fc.ipV4(), (forwarded, address) => {
        const headers = {
          "x-forwarded-for": forwarded,
          "x-real-ip": forwarded,
          "cf-connecting-ip": forwarded,
          forwarded,
        };
        expect(clientKey({ headers, socket: { remoteAddress: "198.51.100.1" } })).toBe("198.51.100.1");
        expect(clientKey(from("198.51.100.1", address))).toBe("198.51.100.1");
      }),
    );
  });

  it.each([
    [1, "192.0.2.9, 203.0.113.7", "203.0.113.7"],
    [2, "192.0.2.9, 203.0.113.7", "192.0.2.9"],
    [2, "1.1.1.1, 192.0.2.9,203.0.113.7", "192.0.2.9"],
    [1, "192.0.2.9, 203.0.113.7:4711", "203.0.113.7"],
    [1, "[2001:db8:1:2::9]:443", "2001:db8:1:2::/64"],
    [1, "[2001:db8:1:2::9]", "2001:db8:1:2::/64"],
    [1, "2001:db8:1:2::9", "2001:db8:1:2::/64"],
    [1, "::ffff:203.0.113.7", "203.0.113.7"],
    [1, " 203.0.113.7 ", "203.0.113.7"],
    // Malformed entries are ignored.
    [3, "192.0.2.9, 203.0.113.7", "10.0.0.1"],
    [1, "", "10.0.0.1"],
    [1, "192.0.2.9,", "10.0.0.1"],
    [1, "192.0.2.9, unknown", "10.0.0.1"],
    [1, "192.0.2.9, _hidden", "10.0.0.1"],
    [1, "203.0.113.7%eth0", "10.0.0.1"],
    [1, "203.0.113.007", "10.0.0.1"],
    [1, "203.0.113.7:port", "10.0.0.1"],
  ])("behind %s proxies, with %j from the last one, is %s", (trustProxy, forwarded, key) => {
    expect(clientKey(from("10.0.0.1", forwarded), { trustProxy })).toBe(key);
  });

  it("reads the right end of a header of 100 KB, which the proxies wrote: no client gets out of its bucket by a long one", () => {
    for (const long of ["1.1.1.1, ".repeat(12_000), `${"a".repeat(100_000)},`]) {
      for (const trustProxy of [1, ["10.0.0.0/8"]]) {
        expect(clientKey(from("10.0.0.1", `${long}203.0.113.7`), { trustProxy })).toBe("203.0.113.7");
      }
      expect(clientKey(from("10.0.0.1", `${long}203.0.113.7`), { trustProxy: 20_000 })).toBe("10.0.0.1");
    }
    expect(clientKey(from("10.0.0.1", "9".repeat(100_000)), { trustProxy: 1 })).toBe("10.0.0.1");
  });

  it("joins the lines of a header, as HTTP does", () => {
    const headers = { "x-forwarded-for": ["192.0.2.9", "203.0.113.7"] };
    expect(clientKey({ headers, socket: { remoteAddress: "10.0.0.1" } }, { trustProxy: 2 })).toBe("192.0.2.9");
  });

  it("goes from the right to the first address that is none of the trusted proxies'", () => {
    const trustProxy = ["10.0.0.0/8", "2001:db8:ffff::/48", "::ffff:192.168.0.0/112"];
    const of = (socket: string, forwarded?: string): string => clientKey(from(socket, forwarded), { trustProxy });
    expect(of("203.0.113.7", "1.1.1.1")).toBe("203.0.113.7");
    expect(of("10.0.0.1", "1.1.1.1, 203.0.113.7")).toBe("203.0.113.7");
    expect(of("10.0.0.1", "1.1.1.1, 203.0.113.7, 10.2.3.4, 192.168.7.7")).toBe("203.0.113.7");
    expect(of("::ffff:10.0.0.1", "203.0.113.7, 2001:db8:ffff::5")).toBe("203.0.113.7");
    expect(of("10.0.0.1", "10.0.0.3, 10.0.0.2")).toBe("10.0.0.3");
    expect(of("10.0.0.1", "203.0.113.7, nonsense, 10.0.0.2")).toBe("10.0.0.1");
    expect(of("10.0.0.1")).toBe("10.0.0.1");
  });

  it("is never what the client wrote, as long as the proxies append to what they got", () => {
    const forged = fc
      .array(fc.oneof(fc.ipV4(), fc.string({ maxLength: 20 })), { maxLength: 5 })
      .map((list) => list.join(","));
    fc.assert(
      fc.property(forged, fc.integer({ min: 1, max: 4 }), (list, proxies) => {
        const appended = Array.from({ length: proxies - 1 }, (_, at) => `10.0.0.${at + 2}`);
        const forwarded = [list, "203.0.113.7", ...appended].join(", ");
        expect(clientKey(from("10.0.0.1", forwarded), { trustProxy: proxies })).toBe("203.0.113.7");
        expect(clientKey(from("10.0.0.1", forwarded), { trustProxy: ["10.0.0.0/8"] })).toBe("203.0.113.7");
      }),
    );
  });

  it("never throws for what a client sends, where the socket has an address", () => {
    const trust = fc.constantFrom<Parameters<typeof clientKey>[1]>(
      { trustProxy: 1 },
      { trustProxy: 3 },
      { trustProxy: ["0.0.0.0/0", "::/0"] },
      { header: "cf-connecting-ip" },
    );
    fc.assert(
      fc.property(fc.oneof(fc.string(), v4, v6, fc.string({ unit: "binary" })), trust, (value, options) => {
        const headers = { "x-forwarded-for": value, "cf-connecting-ip": value };
        const key = clientKey({ headers, socket: { remoteAddress: "10.0.0.1" } }, options);
        expect(isIP(key.replace("/64", ""))).toBeGreaterThan(0);
      }),
      { numRuns: 2000 },
    );
  });

  it("reads the header that the option header names", () => {
    const edge = { headers: new Headers({ "CF-Connecting-IP": "203.0.113.7" }) };
    expect(clientKey(edge, { header: "cf-connecting-ip" })).toBe("203.0.113.7");
    const behind = (socket: string, trustProxy: readonly string[]): string =>
      clientKey(
        { headers: { "cf-connecting-ip": "203.0.113.7" }, socket: { remoteAddress: socket } },
        { header: "CF-Connecting-IP", trustProxy },
      );
    expect(behind("198.51.100.1", ["198.51.100.0/24"])).toBe("203.0.113.7");
    expect(behind("192.0.2.1", ["198.51.100.0/24"])).toBe("192.0.2.1");
  });

  it.each([
    ["a pipe", from(undefined)],
    ["a worker", { headers: new Headers({ "cf-connecting-ip": "203.0.113.7" }) }],
    ["nonsense", from("nonsense")],
  ])("of a request from %s is an error with advice, and not a key that all clients share", (_, request) => {
    expect(() => clientKey(request)).toThrow(TypeError);
    expect(() => clientKey(request)).toThrow(/client's address; .*`trustProxy`.*`header`.* `key`/);
  });

  it.each<[object, Parameters<typeof clientKey>[0], string]>([
    [
      { header: "CF-Connecting-IP" },
      { headers: {} },
      'request.headers["cf-connecting-ip"]` to be the client\'s address, because `options.header` names it; is it the header that your platform writes?, got `undefined`',
    ],
    [
      { header: "x-ip" },
      { headers: { "x-ip": "unknown" } },
      'request.headers["x-ip"]` to be the client\'s address, because `options.header` names it; is it the header that your platform writes?, got `unknown`',
    ],
    [
      { trustProxy: 2 },
      from(undefined, "203.0.113.7"),
      'request.headers["x-forwarded-for"]` to be a list whose entry 2 from the right is the client\'s address, by `options.trustProxy`, got `203.0.113.7`',
    ],
    [
      { trustProxy: ["10.0.0.0/8"] },
      from(undefined, "203.0.113.7"),
      "or it is a pipe, set `options.trustProxy` to the number of proxies in place of their networks, or make a `key` of your own, got `undefined`",
    ],
    [
      { trustProxy: ["10.0.0.0/8"], header: "x-ip" },
      from(undefined),
      "leave `options.trustProxy` out, so that `x-ip` is read, or make a `key` of your own, got `undefined`",
    ],
  ])("with %j, of a request without an address, gives advice that fits", (options, request, advice) => {
    expect(() => clientKey(request, options)).toThrow(advice);
  });

  it("finds the client behind a proxy that comes through a pipe", () => {
    expect(clientKey(from(undefined, "203.0.113.7"), { trustProxy: 1 })).toBe("203.0.113.7");
  });

  it.each<[object, RegExp]>([
    [
      { trustProxy: true },
      /^Expected `trustProxy` to be false, a number of proxies, or a list .*got `true` \(boolean\)$/,
    ],
    [{ trustProxy: 0 }, /^Expected `trustProxy` to be a positive integer, got `0`/],
    [{ trustProxy: 1.5 }, /^Expected `trustProxy` to be a positive integer/],
    [{ trustProxy: "1" }, /^Expected `trustProxy`/],
    [{ trustProxy: ["10.0.0.0/33"] }, /^Expected `trustProxy\[0\]` to be an IP address or a range of them/],
    [{ trustProxy: ["10.0.0.0/8", "proxy.example.org"] }, /^Expected `trustProxy\[1\]`/],
    [{ trustProxy: [7] }, /^Expected `trustProxy\[0\]`.*\(number\)$/],
    [{ ipv6Prefix: 0 }, /^Expected `ipv6Prefix` to be a positive integer/],
    [{ ipv6Prefix: 129 }, /^Expected `ipv6Prefix` to be a positive integer, at most 128/],
    [
      { header: "X-Forwarded-For" },
      /^Expected `header` to be the name of a header that holds one address; .*`trustProxy`/,
    ],
    [{ header: "Forwarded" }, /^Expected `header` to be the name of a header that holds one address/],
    [{ header: "cf connecting" }, /^Expected `header`/],
    [{ header: 7 }, /^Expected `header`/],
    [{ header: "cf-connecting-ip", trustProxy: 1 }, /^Expected `trustProxy` to be a list of networks, or absent/],
    [{ trust: 1 }, /^Expected `trust` to be one of the options trustProxy, header, ipv6Prefix/],
  ])("with %j is a clear error", (options, message) => {
    expect(() => clientKey(from("10.0.0.1"), options)).toThrow(message);
  });
});
