/**
 * Called with a name before each step that changes the disk; a test stands in its place to stop,
 * kill or fail there. Absent in production.
 */
export type FaultPoint = (point: string) => void | Promise<void>;
