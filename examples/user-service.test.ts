/**
 * Tests of a limited service: its business logic without limits, and its limits with a manual clock. Compile it, then run it with
 * `node --test`.
 */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { RateLimitExceededError } from "sluicegate";
import { ManualClock } from "sluicegate/testing";
import { DecoratedUserService, UserService } from "./user-service.js";

for (const Service of [UserService, DecoratedUserService]) {
  describe(`the business logic of ${Service.name}, under TESTING=1`, () => {
    before(() => {
      process.env["TESTING"] = "1";
    });
    after(() => {
      delete process.env["TESTING"];
    });

    it("mails every requested reset", async () => {
      const mails: string[] = [];
      const users = new Service({ send: async (to, subject) => void mails.push(`${to}: ${subject}`) });
      for (let call = 0; call < 20; call += 1) await users.requestPasswordReset("ada@example.org");
      assert.equal(mails.length, 20);
      assert.equal(mails[0], "ada@example.org: Reset your password");
    });

    it("merges any number of profile changes", async () => {
      const users = new Service({ send: async () => undefined });
      for (let call = 0; call < 20; call += 1) await users.updateProfile(7, { name: `Ada ${call}` });
      assert.deepEqual(users.profiles.get(7), { name: "Ada 19" });
    });
  });

  describe(`the limits of ${Service.name}`, () => {
    it("admit three resets an hour for an address, and the next when the first is an hour old", async () => {
      const clock = new ManualClock();
      const mails: string[] = [];
      const users = new Service({ send: async (to) => void mails.push(to) }, clock);
      for (let call = 0; call < 3; call += 1) await users.requestPasswordReset("ada@example.org");
      await assert.rejects(users.requestPasswordReset("ada@example.org"), (error) => {
        assert.ok(error instanceof RateLimitExceededError);
        assert.equal(error.message, "Too many password reset requests. Please try again in an hour.");
        assert.equal(error.retryAfter, 3600);
        return true;
      });
      await users.requestPasswordReset("grace@example.org");
      assert.equal(mails.length, 4);
      clock.advance("1h");
      await users.requestPasswordReset("ada@example.org");
    });

    it("admit five verification mails and ten profile updates an hour for a user", async () => {
      const users = new Service({ send: async () => undefined }, new ManualClock());
      for (let call = 0; call < 5; call += 1) await users.sendVerificationEmail(7, "ada@example.org");
      await assert.rejects(users.sendVerificationEmail(7, "ada@example.org"), RateLimitExceededError);
      for (let call = 0; call < 10; call += 1) await users.updateProfile(7, { name: "Ada" });
      await assert.rejects(users.updateProfile(7, { name: "Ada" }), RateLimitExceededError);
      await users.updateProfile(8, { name: "Grace" });
    });
  });
}
