import { expect, it, vi } from "vitest";
import { callListener } from "../../../src/core/callbacks.js";

it.each([undefined, null, 5, {}])("a listener that answers %o has not failed", (answer) => {
  const failed = vi.fn();
  callListener(() => answer, failed);
  expect(failed).not.toHaveBeenCalled();
});

it("a listener that throws, or rejects later, has failed with that", async () => {
  const failed = vi.fn();
  callListener(() => {
    throw new Error("at once");
  }, failed);
  expect(failed).toHaveBeenLastCalledWith(new Error("at once"));
  callListener(() => Promise.reject(new Error("later")), failed);
  await Promise.resolve();
  await Promise.resolve();
  expect(failed).toHaveBeenLastCalledWith(new Error("later"));
  expect(failed).toHaveBeenCalledTimes(2);
});
