import { storeContract, type StoreContractOptions } from "sluicegate/testing";
import { it } from "vitest";

/** What every store must do, whatever it is made of: run in a `describe` of each. */
export function itIsAStore(options: StoreContractOptions): void {
  for (const { name, run } of storeContract(options)) it(name, run);
}
