import { setTimeout as sleep } from "node:timers/promises";
import type { Client } from "./client.js";

/** The password of each account. */
export const PASSWORDS = new Map([["ada@example.org", "correct horse battery staple"]]);
for (let member = 1; member <= 30; member += 1) PASSWORDS.set(`member${String(member)}@example.org`, "swordfish");

/** A person who forgets her password, requests a second reset, mistypes, logs in and searches. */
export async function person(client: Client): Promise<void> {
  const email = "ada@example.org";
  await client.login(email, "a wrong one");
  await sleep(700);
  await client.resetPassword(email);
  await sleep(900);
  await client.resetPassword(" Ada@Example.org");
  await sleep(600);
  await client.login(email, "another wrong one");
  await sleep(500);
  await client.login(email, "correct horse battery staple");
  for (let words = 0; words < 5; words += 1) {
    await sleep(350);
    await client.search(`words ${String(words)}`);
  }
}

/** A script that guesses the password of one account, forty times a second, and requests resets. */
export async function script(client: Client, endsAt: number): Promise<void> {
  for (let guess = 0; performance.now() < endsAt; guess += 1) {
    await Promise.all([
      client.login("victim@example.org", `guess ${String(guess)}`),
      guess % 10 === 0 ? client.resetPassword("victim@example.org") : undefined,
    ]);
    await sleep(25);
  }
}

/** A scraper that searches in bursts and ignores `Retry-After`. */
export async function scraper(client: Client, endsAt: number): Promise<void> {
  for (let page = 0; performance.now() < endsAt; page += 1) {
    await Promise.all(Array.from({ length: 4 }, (_, part) => client.search(`page ${String(page)} ${String(part)}`)));
    await sleep(150);
  }
}

/** A crowd: thirty members who log in within a few seconds, each to their own account. */
export async function crowd(client: Client, endsAt: number): Promise<void> {
  const startsAt = performance.now();
  const members = [...PASSWORDS.keys()].filter((email) => email.startsWith("member"));
  await Promise.all(
    members.map(async (email, place) => {
      await sleep(((endsAt - startsAt) * place) / members.length);
      if (place % 5 === 0) await client.login(email, "sword fish");
      await client.login(email, "swordfish");
    }),
  );
}
