export { formatLock, type Lock, type LockEntry, parseLock } from './repo/lock.ts';
