export { foldAccount } from "./account.js";
export type { CookieHeader } from "./device-cookie.js";
export type { LoginAttempt, LoginDecision, LoginMember } from "./login-attempt.js";
export type { LoginCookieOptions, LoginLimit, LoginProtectionOptions } from "./login-options.js";
export type { LoginRequest } from "./login-protection.js";
export { LoginProtection } from "./login-protection.js";
