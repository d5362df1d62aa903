import { beforeEach, describe, expect, it } from "vitest";
import { CircuitBreaker } from "../../../../src/store/remote/circuit-breaker.js";

describe("the circuit breaker", () => {
  let now: number;
  let breaker: CircuitBreaker;
  const fail = (times: number): void => {
    for (let calls = 0; calls < times; calls += 1) breaker.failed(breaker.admit()!);
  };
  beforeEach(() => {
    now = 0;
    breaker = new CircuitBreaker({ now: () => now });
  });

  it("admits until three calls in a row have failed, then none for a second, then one", () => {
    fail(2);
    breaker.succeeded(breaker.admit()!);
    fail(2);
    expect(breaker.admit()).toBeDefined();
    fail(1);
    expect(breaker.admit()).toBeUndefined();
    now = 999;
    expect(breaker.admit()).toBeUndefined();
    now = 1000;
    const probe = breaker.admit();
    expect([probe, breaker.admit()]).toEqual([expect.any(Number), undefined]);
    breaker.failed(probe!);
    now = 1999;
    expect(breaker.admit()).toBeUndefined();
    now = 2000;
    breaker.succeeded(breaker.admit()!);
    expect(breaker.admit()).toBeDefined();
    fail(2);
    expect(breaker.admit()).toBeDefined();
  });

  it("ignores the outcomes of calls that were sent before it opened, or before its probe", () => {
    const [slow, slower, slowest] = [breaker.admit()!, breaker.admit()!, breaker.admit()!];
    fail(3);
    breaker.succeeded(slow);
    expect(breaker.admit()).toBeUndefined();
    now = 1000;
    const probe = breaker.admit()!;
    breaker.failed(slower);
    expect(breaker.admit()).toBeUndefined();
    breaker.succeeded(probe);
    breaker.failed(slowest);
    fail(2);
    expect(breaker.admit()).toBeDefined();
  });
});
