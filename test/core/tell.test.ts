import { expect, it, vi } from "vitest";
import { tell } from "../../src/core/tell.js";

it.each([undefined, null, 5, {}])("a listener that answers %o has not failed", (answer) => {
  const failed = vi.fn();
  tell(() => answer, failed);
  expect(failed).not.toHaveBeenCalled();
});

it("a listener that throws, or rejects later, has failed with that", async () => {
  const failed = vi.fn();
  tell(() => {
    throw new Error("at once");
  }, failed);
  expect(failed).toHaveBeenLastCalledWith(new Error("at once"));
  tell(() => Promise.reject(new Error("later")), failed);
  await Promise.resolve();
  await Promise.resolve();
  expect(failed).toHaveBeenLastCalledWith(new Error("later"));
  expect(failed).toHaveBeenCalledTimes(2);
});
