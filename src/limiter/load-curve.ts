/** What a service is busy with, as shares from 0 to 1. */
export interface Load {
  /** The share of the processor that is in use. */
  readonly cpuUsage: number;
  /** The share of the memory that is in use. */
  readonly memoryUsage: number;
}

/** Tells for a load which share of the base limit to enforce: from 0 to 1. */
export type LoadCurve = (load: Load) => number;

/** Half the limit above 80% of the processor or 90% of the memory, 70% of it above 60% or 70%, else all of it. */
export const defaultCurve: LoadCurve = ({ cpuUsage, memoryUsage }) => {
  if (cpuUsage > 0.8 || memoryUsage > 0.9) return 0.5;
  return cpuUsage > 0.6 || memoryUsage > 0.7 ? 0.7 : 1;
};
