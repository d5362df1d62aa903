export type { Bypass } from "./core/bypass.js";
export { testingBypass } from "./core/bypass.js";
export type { Clock } from "./core/clock.js";
export type {
  AsyncReceipt,
  Decision,
  LayerStatus,
  Reason,
  Receipt,
  RefusedBy,
  Source,
  SyncReceipt,
} from "./core/decision.js";
export type { Duration } from "./core/duration.js";
export type { RateLimitExceededErrorOptions, WaitFailure } from "./core/errors.js";
export { LimiterClosedError, RateLimitExceededError, StoreError } from "./core/errors.js";
export type { Limit, LimitOptions, MaxCalls, MaxCallsByName } from "./core/limit.js";
export type { LockOptions, LockPolicy } from "./core/locks.js";
export type { LimiterLike, WaitingCall } from "./wrap/limiter-like.js";
export type { KeyOf, RateLimited, RateLimitedOptions } from "./wrap/rate-limited.js";
export { rateLimited } from "./wrap/rate-limited.js";
export type { AdaptiveRateLimiterOptions, Load, LoadCurve, LoadSource } from "./limiter/adaptive-rate-limiter.js";
export { AdaptiveRateLimiter } from "./limiter/adaptive-rate-limiter.js";
export type { AsyncRateLimiterOptions } from "./limiter/async-rate-limiter.js";
export { AsyncRateLimiter, RATE_LIMITS } from "./limiter/async-rate-limiter.js";
export type { WaitSignal } from "./limiter/abort.js";
export type { AcquireOptions, WaitOptions } from "./limiter/acquire-options.js";
export type { AllOf, AllOfDecision, AllOfKeys, AllOfMaxCalls, AllOfOptions } from "./limiter/all-of.js";
export { allOf } from "./limiter/all-of.js";
export type { CallOptions, UnlockOptions } from "./limiter/options.js";
export type { DOSProtectionLimiterOptions } from "./limiter/layered-rate-limiter.js";
export { DOSProtectionLimiter } from "./limiter/layered-rate-limiter.js";
export type { LayeredRateLimiterOptions, LayerOptions } from "./limiter/layered-rate-limiter.js";
export { LayeredRateLimiter } from "./limiter/layered-rate-limiter.js";
export type { MemoryEfficientRateLimiterOptions } from "./limiter/memory-efficient-rate-limiter.js";
export { MemoryEfficientRateLimiter } from "./limiter/memory-efficient-rate-limiter.js";
export type { LimiterOptions, PolicyOptions, StoreOptions } from "./limiter/options.js";
export type { RateLimiter } from "./limiter/rate-limiter.js";
export type { TieredRateLimiterOptions } from "./limiter/tiered-rate-limiter.js";
export { TieredRateLimiter, USER_TIERS } from "./limiter/tiered-rate-limiter.js";
export type { MemoryStoreOptions } from "./store/memory/memory-store.js";
export { MemoryStore } from "./store/memory/memory-store.js";
export type {
  BatchItem,
  AsyncNamespace,
  AsyncStore,
  KeyState,
  LockStatus,
  Namespace,
  Store,
  SyncNamespace,
  SyncStore,
  SyncStoreResult,
  BatchResult,
  StoreResult,
} from "./store/store.js";
