import type { RequestView } from "sluicegate/http";

/** A view of requests that have an address only. */
export const plainView: RequestView<object> = {
  method: () => "GET",
  header: () => undefined,
  address: () => "203.0.113.7",
  isDisconnected: () => false,
  mayHaveUnannouncedBody: () => false,
  isPlain: () => false,
};
