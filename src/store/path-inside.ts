import { relative } from 'node:path';

/** Whether a path is another one or lies below it, by their names alone. */
export function isInside(path: string, directory: string): boolean {
  const way = relative(directory, path);
  return way === '' || (way !== '..' && !way.startsWith('../'));
}
