import { afterEach, describe, expect, it, vi } from "vitest";
import { warn } from "../../../src/core/callbacks.js";

function warned(error: unknown): string {
  const emitted = vi.spyOn(process, "emitWarning").mockImplementation(() => undefined);
  warn("It failed", error);
  const [message, options] = emitted.mock.lastCall as unknown as [string, { type: string; detail: string }];
  expect([message, options.type]).toEqual(["It failed", "SluicegateWarning"]);
  return options.detail;
}

describe("a warning", () => {
  afterEach(() => {
    vi.unstubAllGlobals();
  });

  it("is of the process, with the stack of an error", () => {
    const error = new Error("metrics down");
    expect(warned(error)).toBe(error.stack);
  });

  it("holds the message of an error that has no stack, and the text of what is no error", () => {
    expect(warned(Object.assign(new Error("metrics down"), { stack: undefined }))).toBe("metrics down");
    expect(warned({ stack: "none", toString: () => "metrics down" })).toBe("metrics down");
    expect(warned(undefined)).toBe("undefined");
  });

  it("survives what has no text", () => {
    expect(warned(Object.create(null))).toBe("object");
  });

  it.each([undefined, {}, { emitWarning: "no function" }])("goes to the console where process is %o", (process) => {
    const written = vi.spyOn(console, "warn").mockImplementation(() => undefined);
    vi.stubGlobal("process", process);
    warn("It failed", "metrics down");
    expect(written).toHaveBeenCalledWith("SluicegateWarning: It failed", "metrics down");
  });

  it("is lost where there is neither process nor console", () => {
    vi.stubGlobal("process", undefined);
    vi.stubGlobal("console", undefined);
    const fails = (): void => warn("It failed", "metrics down");
    expect(fails).not.toThrow();
  });
});
