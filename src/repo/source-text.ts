import type { ErrorObject, ValidateFunction } from 'ajv';
import { type Document, isMap, isNode, isScalar, LineCounter, parseDocument, visit } from 'yaml';
import { badInput, type RinglockError } from '../errors.ts';
import { findDuplicateKey, isNestedDeeper } from './json-tokens.ts';
import { yamlExcess } from './yaml-bounds.ts';

/** A place in a parsed file: property names and array indexes from the root. */
export type FilePath = readonly (string | number)[];

/**
 * Parses JSON and validates it.
 *
 * @param file the name that messages give, relative to the repository
 * @throws RinglockError `invalid-json` or `invalid-file`, naming file, line, value and expectation
 */
export function parseJsonFile(text: string, file: string, validate: ValidateFunction): unknown {
  if (isNestedDeeper(text, deepestJson)) {
    throw badInput('invalid-file', `${file} is nested deeper than ${deepestJson}`);
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    const line = conflictLine(text) ?? brokenLine(text);
    throw badInput('invalid-json', `${at(file, line)} is not JSON: ${jsonReason(error)}`, {
      hint: hasConflictMarkers(text)
        ? 'It has merge conflict markers: resolve them first.'
        : undefinedHint,
    });
  }
  const twice = findDuplicateKey(text);
  if (twice !== undefined) {
    const line = text.slice(0, twice.offset).split('\n').length;
    throw badInput(
      'invalid-file',
      `${at(file, line)}: ${JSON.stringify(twice.key)} stands there twice, expected once`,
    );
  }
  if (!validate(value)) throw invalidFile(text, file, validate.errors ?? []);
  return value;
}

/** No committed file needs more than ten; what walks a value is recursive. */
const deepestJson = 64;

const undefinedHint = 'Expected a JSON document as RFC 8259 defines it.';

/** Where another parser stops; it accepts some of what JSON forbids, then there is no line. */
function brokenLine(text: string): number | undefined {
  const { document, lines } = parseForPositions(text) ?? {};
  const [first] = document?.errors ?? [];
  return first === undefined ? undefined : lines?.linePos(first.pos[0]).line;
}

function conflictLine(text: string): number | undefined {
  if (!hasConflictMarkers(text)) return undefined;
  return text.slice(0, text.search(/^<{7}/m)).split('\n').length;
}

/** Whether git left its conflict markers in the text. */
export function hasConflictMarkers(text: string): boolean {
  return /^<{7}( |$)/m.test(text) && /^>{7}( |$)/m.test(text);
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
  return badInput(
    'invalid-file',
    `${at(file, lineOf(text, path))}: ${pathName(path)} is ${show(found)}, expected ${expected}`,
  );
}

function parseWithPositions(text: string): { document: Document; lines: LineCounter } {
  const lines = new LineCounter();
  // JSON is YAML 1.2, so one parser gives positions for both.
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
  const error = mostSpecific(errors);
  if (error === undefined) return badInput('invalid-file', `${file} is not valid`);
  const path = instancePath(error);
  const where = at(file, lineOf(text, path));
  return badInput('invalid-file', `${where}: ${complaint(error, path)}`);
}

/** Of several errors (an anyOf reports each branch), the one nearest to the value at fault. */
function mostSpecific(errors: readonly ErrorObject[]): ErrorObject | undefined {
  return errors.reduce<ErrorObject | undefined>((best, error) => {
    if (best === undefined) return error;
    const deeper = error.instancePath.length > best.instancePath.length;
    const sameButWhole =
      error.instancePath.length === best.instancePath.length && error.keyword === 'anyOf';
    return deeper || sameButWhole ? error : best;
  }, undefined);
}

function instancePath(error: ErrorObject): FilePath {
  const path = error.instancePath
    .split('/')
    .slice(1)
    .map((segment) => segment.replaceAll('~1', '/').replaceAll('~0', '~'));
  if (error.keyword === 'additionalProperties')
    return [...path, error.params['additionalProperty']];
  if (error.propertyName !== undefined) return [...path, error.propertyName];
  return path;
}

function complaint(error: ErrorObject, path: FilePath): string {
  const name = pathName(path);
  if (error.keyword === 'required') {
    const missing = pathName([...path, error.params['missingProperty']]);
    return `${missing} is missing`;
  }
  if (error.keyword === 'additionalProperties') {
    const known = Object.keys(
      (error.parentSchema as { properties?: object } | undefined)?.properties ?? {},
    );
    return `${name} is unknown, expected one of ${known.join(', ')}`;
  }
  if (error.propertyName !== undefined) {
    return `${name} is not a possible name, expected ${expectation(error)}`;
  }
  return `${name} is ${show(error.data)}, expected ${expectation(error)}`;
}

function expectation(error: ErrorObject): string {
  const parent = error.parentSchema as { description?: string } | undefined;
  const schema = error.schema as { description?: string } | undefined;
  if (error.keyword === 'not' && schema?.description !== undefined) return schema.description;
  if (parent?.description !== undefined) return parent.description;
  if (error.keyword === 'enum') return `one of ${(error.schema as unknown[]).join(', ')}`;
  if (error.keyword === 'const') return String(error.schema);
  if (error.keyword === 'type') return [error.schema].flat().join(' or ');
  return error.message ?? 'something else';
}

function pathName(path: FilePath): string {
  if (path.length === 0) return 'the file';
  return path.map((segment) => (typeof segment === 'number' ? `[${segment}]` : segment)).join('.');
}

function at(file: string, line: number | undefined): string {
  return line === undefined ? file : `${file}:${line}`;
}

function show(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 80 ? `${text.slice(0, 77)}…` : text;
}

function jsonReason(error: unknown): string {
  return firstLine(error instanceof Error ? error.message : String(error));
}

function firstLine(text: string): string {
  return text.split('\n', 1)[0] ?? text;
}
