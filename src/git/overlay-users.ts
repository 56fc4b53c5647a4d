import { readdir, readFile } from 'node:fs/promises';
import { join, posix } from 'node:path';
import { parseDocument } from 'yaml';
import { overlayDirectory } from '../repo/overlay-template.ts';
import type { GitRepository } from './git-command.ts';

/** Kustomizations that are built from a ring's overlay, from the repository's top, sorted. */
export async function overlayUsers({ topLevel }: GitRepository, ring: string): Promise<string[]> {
  const own = overlayDirectory(ring);
  const entries = await readdir(join(topLevel, 'overlays'), { recursive: true }).catch(() => []);
  const found: string[] = [];
  for (const entry of entries) {
    const path = posix.join('overlays', entry.replaceAll('\\', '/'));
    if (posix.basename(path) !== 'kustomization.yaml' || path.startsWith(`${own}/`)) continue;
    const text = await readFile(join(topLevel, path), 'utf8');
    const { resources, components } = (parseDocument(text).toJS() ?? {}) as Record<string, unknown>;
    const needed = [resources, components].flat().filter((each) => typeof each === 'string');
    const isOwn = (each: string) =>
      posix.join(posix.dirname(path), each).replace(/\/$/, '') === own;
    if (needed.some(isOwn)) found.push(path);
  }
  return found.sort();
}
