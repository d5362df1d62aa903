import { expect, it } from "vitest";
import { twoWindows } from "../../../docs/playground/two-windows.js";

it("the picture of the README shows what the algorithms do today", async () => {
  // `npx vitest run --project unit two-windows --update` writes the file.
  await expect(twoWindows()).toMatchFileSnapshot("../../../docs/public/two-windows.svg");
});
