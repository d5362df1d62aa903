/**
 * Runs a real HTTP service on loopback under the traffic of several clients. Prints the responses of each client second by second,
 * and verifies from them that the service kept its limits; exits 1 if it did not.
 *
 * `--serve` keeps the service running instead, and prints requests to try.
 */
import { createSocket } from "node:dgram";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { AsyncRateLimiter } from "sluicegate";
import { createAccountService, LIMITS } from "./account-service.js";
import { audit, type Claim } from "./demo/audit.js";
import { type Exchange, Client } from "./demo/client.js";
import { crowd, PASSWORDS, person, scraper, script } from "./demo/clients.js";
import { tableOf, timelineOf } from "./demo/report.js";

const SECONDS = 6;

if (process.env["TESTING"] === "1") {
  console.log("TESTING=1 is set, which disables all limits; it is unset for this run.\n");
  delete process.env["TESTING"];
}

const mails: string[] = [];
const service = createAccountService({
  verifyPassword: async (email, password) => PASSWORDS.get(email) === password,
  sendPasswordReset: async (email) => void mails.push(email),
});
const serves = process.argv.includes("--serve");
service.listen(serves ? Number(process.env["PORT"] ?? 0) : 0, "127.0.0.1");
await once(service, "listening");
const { port } = service.address() as AddressInfo;

if (serves) {
  console.log(`The service is listening. Try, more than once:

  curl -i http://127.0.0.1:${String(port)}/search?q=words
  curl -i -d '{"email":"ada@example.org"}' http://127.0.0.1:${String(port)}/password-reset
  curl -i -d '{"email":"ada@example.org","password":"guess"}' http://127.0.0.1:${String(port)}/login

Its limits: 10 searches per 2 s, 3 resets per hour for an address, 5 failed logins per 5 minutes. Ctrl+C stops it.`);
} else {
  process.exitCode = await demo();
  service.close();
}

async function demo(): Promise<number> {
  const exchanges: Exchange[] = [];
  const addresses = (await hasManyAddresses()) ? [1, 2, 3, 4] : [1, 1, 1, 1];
  const names = ["ada", "script", "scraper", "crowd"];
  const [ada, mallory, bot, many] = names.map(
    (name, at) => new Client(name, `127.0.0.${String(addresses[at])}`, port, exchanges),
  ) as [Client, Client, Client, Client];

  console.log(`A service on http://127.0.0.1:${String(port)} for ${String(SECONDS)} seconds, and its clients:
  ada      a person who forgot her password
  script   guesses the password of one account, 40 times a second
  scraper  searches in bursts of 4, and ignores Retry-After
  crowd    30 members who log in, one in five mistyping first
Limits: 3 resets per hour for an address, 5 failed logins per 5 min for a client and account, 10 searches per 2 s.
`);

  const endsAt = performance.now() + SECONDS * 1000;
  const traffic = Promise.all([person(ada), script(mallory, endsAt), scraper(bot, endsAt), crowd(many, endsAt)]);
  for (let second = 1, printed = 0; second <= SECONDS; second += 1) {
    await Promise.race([
      sleep(Math.max(0, endsAt - (SECONDS - second) * 1000 - performance.now())),
      rejectionOf(traffic),
    ]);
    console.log(`${timelineOf(second, exchanges.slice(printed), names).join("\n")}\n`);
    printed = exchanges.length;
  }
  await traffic;
  for (const client of [ada, mallory, bot, many]) client.close();

  console.log(`${tableOf(exchanges, names).join("\n")}\n`);
  console.log(`Mails sent: ${String(mails.filter((to) => to.startsWith("victim")).length)} to the script's victim.`);
  const wrong = audit(exchanges, {
    passwordReset: claimOf("passwordReset"),
    login: claimOf("login"),
    search: claimOf("search"),
  });
  for (const line of wrong) console.error(`WRONG  ${line}`);
  if (wrong.length > 0) return 1;
  console.log(`Checked from the clients' side, over ${String(exchanges.length)} responses: no key was admitted more than its limit in
any window, and no call was refused that its window allowed.`);
  return 0;
}

/** A limit with its period in milliseconds. */
function claimOf(name: keyof typeof LIMITS): Claim {
  const [limit] = new AsyncRateLimiter(LIMITS[name]).limits;
  if (limit === undefined) throw new Error("A limiter without a limit");
  return limit;
}

/** Rejects when `work` rejects, and stays pending otherwise. */
async function rejectionOf(work: Promise<unknown>): Promise<never> {
  await work;
  return new Promise(() => undefined);
}

/** Whether every address of 127.0.0.0/8 is local, as on Linux and Windows; on other systems all clients share one address. */
async function hasManyAddresses(): Promise<boolean> {
  const socket = createSocket("udp4");
  try {
    socket.bind(0, "127.0.0.2");
    await once(socket, "listening");
    return true;
  } catch {
    return false;
  } finally {
    socket.close();
  }
}
