import { afterEach, describe, expect, it, vi } from "vitest";
import { callListener, warn } from "../../../src/core/callbacks.js";

function warned(error: unknown): string {
  const emitted = vi.spyOn(process, "emitWarning").mockImplementation(() => undefined);
  warn("SLUICEGATE_CALLBACK_FAILED", "It failed", error);
  const [message, options] = emitted.mock.lastCall as unknown as [
    string,
    { type: string; code: string; detail: string },
  ];
  const { detail, ...rest } = options;
  expect([message, rest]).toEqual(["It failed", { type: "SluicegateWarning", code: "SLUICEGATE_CALLBACK_FAILED" }]);
  return detail;
}

describe("warn", () => {
  afterEach(() => {
    vi.unstubAllGlobals();
  });

  it("emits a warning of the process with the stack of the error", () => {
    const error = new Error("metrics down");
    expect(warned(error)).toBe(error.stack);
  });

  it("uses the message of an error without a stack, and the text of any other value", () => {
    expect(warned(Object.assign(new Error("metrics down"), { stack: undefined }))).toBe("metrics down");
    expect(warned({ stack: "none", toString: () => "metrics down" })).toBe("metrics down");
    expect(warned(undefined)).toBe("undefined");
  });

  it("uses the type of a value that cannot be converted to a string", () => {
    expect(warned(Object.create(null))).toBe("object");
  });

  it("ends with the address of the code if the build knows that of the page", () => {
    vi.stubGlobal("ERRORS_PAGE", "https://example.org/errors.md");
    expect(warned("metrics down")).toBe("metrics down\nSee https://example.org/errors.md#sluicegate_callback_failed");
  });

  it.each([undefined, {}, { emitWarning: "no function" }])("writes to the console if process is %o", (process) => {
    const written = vi.spyOn(console, "warn").mockImplementation(() => undefined);
    vi.stubGlobal("process", process);
    warn("SLUICEGATE_CALLBACK_FAILED", "It failed", "metrics down");
    expect(written).toHaveBeenCalledWith("[SLUICEGATE_CALLBACK_FAILED] SluicegateWarning: It failed", "metrics down");
  });

  it("does nothing without process and console", () => {
    vi.stubGlobal("process", undefined);
    vi.stubGlobal("console", undefined);
    const warnOnce = (): void => warn("SLUICEGATE_CALLBACK_FAILED", "It failed", "metrics down");
    expect(warnOnce).not.toThrow();
  });
});

it.each([undefined, null, 5, {}])("callListener reports no failure if the listener returns %o", (result) => {
  const failed = vi.fn();
  callListener(() => result, failed);
  expect(failed).not.toHaveBeenCalled();
});

it("callListener reports the error of a listener that throws or rejects", async () => {
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
