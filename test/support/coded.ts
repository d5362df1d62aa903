/** Adds the code of errors about arguments to an expected error. */
export function coded<E extends Error>(error: E): E {
  return Object.assign(error, { code: "SLUICEGATE_INVALID_ARGUMENT" });
}
