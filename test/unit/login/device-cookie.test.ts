import { createHmac } from "node:crypto";
import fc from "fast-check";
import { describe, expect, it, vi } from "vitest";
import { type CookieHeader, DeviceCookies } from "../../../src/login/device-cookie.js";

const SECRET = "one secret of at least 32 characters";
const OTHER = "another secret of more than 32 characters";
const YEAR_MS = 365 * 86_400_000;

const cookiesOf = (secrets: readonly string[] = [SECRET], now = (): number => 1_000_000_000): DeviceCookies =>
  new DeviceCookies({ name: "__Host-device", maxAgeMs: YEAR_MS, secrets, now });

const pairOf = (setCookie: string): string => setCookie.split(";", 1)[0] ?? "";

describe("the device cookie", () => {
  const cookies = cookiesOf();

  it("is issued with the attributes that keep it in this browser and from other hosts", async () => {
    expect(await cookies.issue("ada")).toMatch(
      /^__Host-device=[\w-]{22}\.32536000\.[\w-]{43}; Path=\/; Secure; HttpOnly; SameSite=Lax; Max-Age=31536000$/,
    );
  });

  it("is signed by HMAC-SHA-256 over account, nonce and expiry", async () => {
    const [nonce = "", expires = "", signature] = (pairOf(await cookies.issue("ada")).split("=")[1] ?? "").split(".");
    const text = ["sluicegate device cookie", nonce, expires, "ada"].join("\n");
    expect(signature).toBe(createHmac("sha256", SECRET).update(text).digest("base64url"));
  });

  it("has a nonce of its own for each browser, and keeps it when it is renewed", async () => {
    const nonces = await Promise.all([1, 2].map(async () => cookies.read(pairOf(await cookies.issue("ada")), "ada")));
    expect(nonces[0]).not.toBe(nonces[1]);
    expect(await cookies.read(pairOf(await cookies.issue("ada", nonces[0])), "ada")).toBe(nonces[0]);
  });

  it("is read from a header with other cookies, from an array of headers, and never from another name", async () => {
    const pair = pairOf(await cookies.issue("ada"));
    const read = async (header: CookieHeader): Promise<boolean> => (await cookies.read(header, "ada")) !== undefined;
    for (const header of [
      `a=1; ${pair}; b=2`,
      `a=1;${pair}`,
      ` ${pair} `,
      `\t${pair}`,
      ["a=1", pair],
      ["", `b=2; ${pair}`],
    ]) {
      expect(await read(header)).toBe(true);
    }
    for (const header of [
      undefined,
      null,
      "",
      [],
      "__Host-device",
      `x${pair}`,
      pair.replace("__Host-", ""),
      `"${pair}"`,
    ]) {
      expect(await read(header)).toBe(false);
    }
    await expect(cookies.read({ [pair]: "" } as never, "ada")).rejects.toThrow("Expected `cookie` to be the text of");
  });

  it("is not hidden by one that another host of the domain sets, whose name only `trim` makes equal", async () => {
    const pair = pairOf(await cookies.issue("ada"));
    expect(await cookies.read(`\u00a0__Host-device=forged; ${pair}`, "ada")).toBeDefined();
  });

  it("is valid for its account only, and until it expires", async () => {
    let now = 1_000_000_000;
    const timed = cookiesOf([SECRET], () => now);
    const pair = pairOf(await timed.issue("ada"));
    expect(await timed.read(pair, "grace")).toBeUndefined();
    now += YEAR_MS - 1;
    expect(await timed.read(pair, "ada")).toBeDefined();
    now += 1;
    expect(await timed.read(pair, "ada")).toBeUndefined();
  });

  it("is verified by every secret and signed by the first", async () => {
    const pair = pairOf(await cookies.issue("ada"));
    const rotated = cookiesOf([OTHER, SECRET]);
    expect(await rotated.read(pair, "ada")).toBeDefined();
    expect(await cookiesOf([OTHER]).read(pair, "ada")).toBeUndefined();
    expect(await cookiesOf([OTHER]).read(pairOf(await rotated.issue("ada")), "ada")).toBeDefined();
  });

  it("is invalid when any character of it is changed", async () => {
    const pair = pairOf(await cookies.issue("ada"));
    const start = "__Host-device=".length;
    // The last character of the signature has two bits that no byte holds.
    const position = fc.integer({ min: start, max: pair.length - 2 });
    await fc.assert(
      fc.asyncProperty(
        position,
        fc.constantFrom("A", "z", "0", "9", "-", "_", ".", ";", " ", "%", "="),
        async (at, character) => {
          fc.pre(pair[at] !== character);
          expect(await cookies.read(pair.slice(0, at) + character + pair.slice(at + 1), "ada")).toBeUndefined();
        },
      ),
    );
  });

  it("costs no signature if it is absent, malformed, too long or expired, and one for each secret if it is forged", async () => {
    const [nonce, signature] = ["n".repeat(22), "s".repeat(43)];
    const verify = vi.spyOn(crypto.subtle, "verify");
    const cost = async (header: CookieHeader): Promise<number> => {
      verify.mockClear();
      expect(await cookiesOf([SECRET, OTHER]).read(header, "ada")).toBeUndefined();
      return verify.mock.calls.length;
    };
    expect(await cost(undefined)).toBe(0);
    expect(await cost(`__Host-device=${nonce}.9999999999.${signature}x`)).toBe(0);
    expect(await cost(`__Host-device=${nonce}.9.${signature}`)).toBe(0);
    expect(await cost(`${"a=1;".repeat(5000)} __Host-device=${nonce}.9999999999.${signature}`)).toBe(0);
    expect(await cost(`__Host-device=${nonce}.9999999999.${signature};`.repeat(100))).toBe(2);
  });

  it("rejects no header, whatever it contains", async () => {
    const text = fc.oneof(
      fc.string({ unit: "binary" }),
      fc.string({ unit: fc.constantFrom("__Host-device", "=", ";", ".", " ", "a", "A", "9") }),
    );
    await fc.assert(
      fc.asyncProperty(fc.oneof(text, fc.array(text, { maxLength: 3 })), async (header) => {
        expect(await cookies.read(header, "ada")).toBeUndefined();
      }),
    );
  });
});
