export { ManualClock } from "./manual-clock.js";
export type { StoreCheck, StoreContractOptions } from "./store-contract.js";
export { storeContract } from "./store-contract.js";
