/**
 * Attacks a login that `LoginProtection` protects with its default limits, on a clock that is moved by hand, and prints what the
 * attackers and the owner of the account got. It takes some seconds. Exits 1 if a claim of docs/guide/protect-a-login.md does not
 * hold.
 */
import {
  DAY,
  denseHour,
  forgetfulOwner,
  HOUR,
  mostInAnyWindow,
  stuffedAccounts,
  yearOfAttack,
} from "./login/attack.js";

const MINUTE = 60_000;
const PHONES = 4;
const failed: string[] = [];

const count = (number: number): string => number.toLocaleString("en-US");
const row = (who: string, got: string): void => console.log(`  ${who.padEnd(44)}${got}`);

function claim(text: string, holds: boolean): void {
  if (!holds) failed.push(text);
}

console.log("A year in which 10,000 addresses guess the password of Ada at each instant at which they may:\n");
for (const [botnet, who] of [
  ["impatient", "a botnet that tries until it is refused"],
  ["patient", "a botnet that is never locked"],
] as const) {
  const { guesses, laptop } = await yearOfAttack(botnet, 0);
  const busiest = mostInAnyWindow(guesses, 30 * DAY);
  row(who, `${count(guesses.length)} guesses verified, ${busiest} in the busiest 30 days`);
  row("Ada on her laptop meanwhile", `${laptop.logins - laptop.refused} of ${laptop.logins} logins`);
  claim("strangers have 100 guesses in 30 days", busiest <= 100 && guesses.length <= 1300);
  claim("a known browser is never refused", laptop.refused === 0);
}

console.log(`\nThe same year, in which Ada gets ${PHONES} new phones:\n`);
const { guesses, phones } = await yearOfAttack("impatient", PHONES);
row("Ada on a new phone, by password", `${phones.byPassword} of ${PHONES} logins`);
row("Ada on a new phone, by a link in an e-mail", `${phones.byLink} of ${PHONES - phones.byPassword} logins`);
row("the botnet", `${count(guesses.length)} guesses verified`);
claim("a login of a stranger allows 100 guesses more", guesses.length <= 1300 + PHONES * 100);

console.log("\nAn hour of 10 guesses a second:\n");
const hour = await denseHour();
const longest = Math.max(...hour.waitsMs);
row("the botnet", `${hour.verified} of ${count(hour.guesses)} guesses verified`);
row("Ada on her laptop", `${hour.laptop.logins - hour.laptop.refused} of ${hour.laptop.logins} logins`);
row("Ada on a new phone, 12 times", `waits ${Math.ceil(longest / MINUTE)} minutes at most`);
claim("a stranger waits an hour at most", longest <= HOUR && hour.laptop.refused === 0);

console.log("\nAn hour in which one password is tried on each of 100,000 accounts:\n");
for (const where of ["in 100 networks", "in one network"] as const) {
  const verified = await stuffedAccounts(where);
  row(`from 100 addresses ${where}`, `${count(verified)} of 100,000 guesses verified`);
  claim("30 guesses an address and 100 a network", verified <= (where === "in one network" ? 100 : 3000));
}

console.log("\nNobody attacks. Ada has no cookie, and mistypes her password:\n");
for (const mistakes of [4, 5, 10]) {
  row(`${mistakes} times`, `waits ${Math.ceil((await forgetfulOwner(mistakes)) / MINUTE)} minutes`);
}

for (const text of failed) console.error(`WRONG  ${text}`);
process.exitCode = failed.length === 0 ? 0 : 1;
