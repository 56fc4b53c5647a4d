import type { ErrorObject, ValidateFunction } from 'ajv';
import { type Document, isMap, isNode, isScalar, LineCounter, parseDocument, visit } from 'yaml';
import { badInput, type RinglockError } from '../errors.ts';
import {
  at,
  type FilePath,
  firstLine,
  invalidFileError,
  invalidValueError,
} from './invalid-file.ts';
import { conflictLine } from './json-text.ts';
import { yamlExcess } from './yaml-bounds.ts';

export type { FilePath } from './invalid-file.ts';

/** Whether git left its conflict markers in the text. */
export function hasConflictMarkers(text: string): boolean {
  return conflictLine(text) !== undefined;
}

export interface YamlFile {
  /** Plain data, aliases resolved. */
  readonly value: unknown;
  /** For edits that keep comments and order. */
  readonly document: Document;
}

/**
 * Parses YAML 1.2 and validates it; an empty file is an empty mapping.
 *
 * @throws RinglockError `invalid-yaml` or `invalid-file`, naming file, line, value and expectation
 */
export function parseYamlFile(text: string, file: string, validate: ValidateFunction): YamlFile {
  const excess = yamlExcess(text);
  if (excess !== undefined) throw badInput('invalid-yaml', `${file} cannot be read: ${excess}`);
  const { document, lines } = parseWithPositions(text);
  const problem = yamlProblem(document);
  if (problem !== undefined) {
    const { line } = lines.linePos(problem.offset);
    throw badInput('invalid-yaml', `${at(file, line)} is not YAML: ${firstLine(problem.message)}`);
  }
  let value: unknown;
  try {
    // 100 is the library's own limit: a file that expands further is a bomb, not a manifest.
    value = document.toJS({ maxAliasCount: 100 }) ?? {};
    // An alias inside what it names makes a value without end.
    JSON.stringify(value);
  } catch (error) {
    throw badInput('invalid-yaml', `${file} cannot be read: ${firstLine(String(error))}`);
  }
  if (!validate(value)) throw invalidFile(text, file, validate.errors ?? []);
  return { value, document };
}

/** What is wrong with a document besides its values. */
function yamlProblem(document: Document): { message: string; offset: number } | undefined {
  // A warning is a tag that nothing resolves, as !!js/function: its value is not what it says.
  const [first] = [...document.errors, ...document.warnings];
  if (first !== undefined) return { message: first.message, offset: first.pos[0] };
  const { version = '1.2' } = document.directives?.yaml ?? {};
  if (version !== '1.2') return { message: `it says YAML ${version}, expected 1.2`, offset: 0 };
  return findYamlKeyProblem(document);
}

/** The library compares each key of a mapping with all before it, which takes minutes for a bomb. */
function findYamlKeyProblem(document: Document): { message: string; offset: number } | undefined {
  let found: { message: string; offset: number } | undefined;
  visit(document, (_, node) => {
    if (!isMap(node)) return undefined;
    const seen = new Set<string>();
    for (const { key } of node.items) {
      if (!isScalar(key)) {
        const range = isNode(key) ? key.range : undefined;
        found = { message: 'a key is no plain value', offset: range?.[0] ?? 0 };
        return visit.BREAK;
      }
      // 1 and "1" are one key of what it becomes.
      const name = String(key.value);
      if (seen.has(name)) {
        found = { message: 'Map keys must be unique', offset: key.range?.[0] ?? 0 };
        return visit.BREAK;
      }
      seen.add(name);
    }
    return undefined;
  });
  return found;
}

/** The error for a value that is well-formed but wrong for a reason no schema can say. */
export function invalidValue(
  text: string,
  file: string,
  path: FilePath,
  found: unknown,
  expected: string,
): RinglockError {
  return invalidValueError(file, lineOf(text, path), path, found, expected);
}

function parseWithPositions(text: string): { document: Document; lines: LineCounter } {
  const lines = new LineCounter();
  const document = parseDocument(text, {
    lineCounter: lines,
    prettyErrors: false,
    uniqueKeys: false,
  });
  return { document, lines };
}

/** The same for a message; of a text that costs too much to parse once more, no line is named. */
function parseForPositions(text: string): ReturnType<typeof parseWithPositions> | undefined {
  return yamlExcess(text) === undefined ? parseWithPositions(text) : undefined;
}

/** The 1-based line where a path's value stands, or its nearest parent's. */
function lineOf(text: string, path: FilePath): number | undefined {
  return lineFinder(text)(path);
}

/** The same for several paths of a text, which is parsed once. */
export function lineFinder(text: string): (path: FilePath) => number | undefined {
  const { document, lines } = parseForPositions(text) ?? {};
  return (path) => {
    if (document === undefined || lines === undefined) return undefined;
    for (let length = path.length; length >= 0; length--) {
      const node = document.getIn(path.slice(0, length), true);
      if (isNode(node) && node.range) return lines.linePos(node.range[0]).line;
    }
    return undefined;
  };
}

function invalidFile(text: string, file: string, errors: readonly ErrorObject[]): RinglockError {
  return invalidFileError(file, errors, (path) => lineOf(text, path));
}
